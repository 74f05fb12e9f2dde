import math

import numpy as np
import pytest
from scipy.integrate import quad

from paribus.core.errors import ConfigError
from paribus.theory import sphere
from paribus.theory.sphere import cosines, log_mgf, mean_cosine


@pytest.mark.parametrize("d", [2, 3, 5, 64, 301])
@pytest.mark.parametrize("x", [1e-3, 0.4, 7.0, 60.0])
def test_against_quadrature(d, x):
    def integral(f):
        # With s = cos t the density is sin(t)^(d-2); s and -s together, so that nothing cancels.
        inside = {"epsabs": 0, "epsrel": 1e-10, "limit": 200}
        return quad(lambda t: f(math.cos(t)) * math.sin(t) ** (d - 2), 0, math.pi / 2, **inside)[0]

    weight = integral(lambda s: math.cosh(x * s))
    assert log_mgf(x, d) == pytest.approx(math.log(weight / integral(lambda s: 1.0)), rel=1e-9, abs=1e-11)
    assert mean_cosine(x, d) == pytest.approx(integral(lambda s: s * math.sinh(x * s)) / weight, rel=1e-8)


@pytest.mark.parametrize("d", [2, 3, 64, 129, 301])
@pytest.mark.parametrize("x", [0.5, 8.0, 50.0, 300.0])
def test_the_two_ways_to_evaluate_agree(d, x):
    value, slope = sphere._series(x, d / 2 - 1)
    assert log_mgf(x, d) == pytest.approx(value, rel=1e-10)
    assert mean_cosine(x, d) == pytest.approx(slope, rel=1e-10)


def test_three_dimensions_by_hand():
    x = np.array([0.1, 1.0, 20.0])
    np.testing.assert_allclose(log_mgf(x, 3), np.log(np.sinh(x) / x), rtol=1e-12)
    np.testing.assert_allclose(mean_cosine(x, 3), 1 / np.tanh(x) - 1 / x, rtol=1e-9)


def test_huge_dimensions_do_not_overflow():
    d = 10**6
    # Cosines are N(0, 1/d) there.
    assert log_mgf(1000.0, d) == pytest.approx(1000**2 / (2 * d), rel=1e-5)
    assert mean_cosine(1000.0, d) == pytest.approx(1000 / d, rel=1e-5)
    assert np.isfinite(log_mgf([0.0, 1e-9, 1e5], d)).all()
    assert log_mgf(0.0, 7) == mean_cosine(0.0, 7) == 0


def test_mean_cosine_is_the_derivative_and_increases():
    x = np.linspace(0, 80, 200)
    assert (np.diff(mean_cosine(x, 64)) > 0).all()
    h = 1e-4
    np.testing.assert_allclose(
        (log_mgf(x[1:] + h, 64) - log_mgf(x[1:] - h, 64)) / (2 * h), mean_cosine(x[1:], 64), rtol=1e-6
    )


@pytest.mark.parametrize("d", [2, 3, 64])
def test_random_cosines(d):
    s = cosines(np.random.default_rng(0), d, (50_000,))
    directions = np.random.default_rng(1).standard_normal((50_000, d))
    true = directions[:, 0] / np.linalg.norm(directions, axis=1)
    np.testing.assert_allclose(
        np.quantile(s, [0.1, 0.5, 0.9]), np.quantile(true, [0.1, 0.5, 0.9]), atol=0.03 / math.sqrt(d)
    )
    assert s.var() == pytest.approx(1 / d, rel=0.03)


def test_bad_input():
    with pytest.raises(ConfigError, match="d = 1"):
        log_mgf(1.0, 1)
    with pytest.raises(ConfigError, match="expected finite values"):
        mean_cosine([-1.0], 8)
    with pytest.raises(ConfigError, match="expected finite values"):
        log_mgf(math.nan, 8)
    with pytest.raises(ConfigError, match=r"d = 2\.5"):
        cosines(np.random.default_rng(0), 2.5, (3,))
