import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from paribus.core.errors import ConfigError
from paribus.theory.attention_entropy import (
    LAPLACE_COEFFICIENT,
    entropy,
    factor,
    laplace,
    lower_bound,
    measured_gaussian,
    measured_on_sphere,
    of_gaussian_scores,
    on_sphere,
)

rows = st.lists(st.floats(-20, 20), min_size=1, max_size=12)
scales = st.floats(0, 10)


@settings(max_examples=50, deadline=None)
@given(rows, scales)
def test_entropy_is_shannons_and_the_bound_holds(scores, scale):
    z = scale * (np.array(scores) - max(scores))
    p = np.exp(z) / np.exp(z).sum()
    found = float(entropy(scores, scale))
    assert found == pytest.approx(stats.entropy(p), abs=1e-9)
    assert float(lower_bound(scores, scale)) <= found + 1e-9
    assert 0 <= found <= math.log(len(scores)) + 1e-12


@settings(max_examples=50, deadline=None)
@given(rows)
def test_the_bound_is_tight_at_scale_zero(scores):
    assert float(lower_bound(scores, 0)) == pytest.approx(math.log(len(scores)))
    assert float(entropy(scores, 0)) == pytest.approx(math.log(len(scores)), abs=1e-12)


def test_entropy_never_rises_with_the_scale_and_its_slope_is_exact():
    scores = np.random.default_rng(0).standard_normal((5, 40))
    scales = np.linspace(0, 8, 60)
    assert (np.diff([entropy(scores, s) for s in scales], axis=0) <= 1e-12).all()
    scale, h = 1.7, 1e-5
    p = np.exp(scale * scores)
    p /= p.sum(-1, keepdims=True)
    variance = (p * scores**2).sum(-1) - (p * scores).sum(-1) ** 2
    slope = (entropy(scores, scale + h) - entropy(scores, scale - h)) / (2 * h)
    np.testing.assert_allclose(slope, -scale * variance, rtol=1e-6)


def test_extreme_scores_do_not_overflow():
    assert entropy([1e4, 0.0, -1e4], 50.0) == pytest.approx(0)
    assert entropy(np.full((2, 3), 1e300), [1.0, 2.0]) == pytest.approx(math.log(3))


def test_table_on_the_sphere():
    n, d = np.array([64, 512, 4096]), 64
    constant = [measured_on_sphere(int(k), d, 1 / 8, draws=48) for k in n]
    log = [measured_on_sphere(int(k), d, float(factor("log", k)) / 8, draws=48) for k in n]
    assert constant == pytest.approx([3.70, 5.76, 7.83], abs=0.05)
    assert log == pytest.approx([3.95, 5.75, 7.47], abs=0.05)
    # It grows more slowly, and still grows: the factor does not make the entropy invariant on random keys.
    assert 2 < log[2] - log[0] < constant[2] - constant[0]
    assert on_sphere(n, d, 1 / 8) == pytest.approx(constant, abs=0.03)
    assert on_sphere(n, d, factor("log", n) / 8) == pytest.approx(log, abs=0.03)


def test_the_rejected_natural_logarithm_is_nearly_flat_and_peaked():
    found = [measured_on_sphere(n, 64, math.log(n) / 8, draws=200) for n in (64, 512, 4096)]
    assert found == pytest.approx([1.31, 1.32, 1.11], abs=0.15)
    # The limit of many keys is of no use there.
    assert on_sphere(4096, 64, math.log(4096) / 8) < 0.5


def test_the_laplace_coefficient():
    assert pytest.approx(0.2406, abs=5e-5) == LAPLACE_COEFFICIENT
    assert float(on_sphere(1, 10**6, 1.0)) / 10**6 == pytest.approx(-LAPLACE_COEFFICIENT, rel=1e-5)
    assert laplace(1, 1000) == pytest.approx(-1000 * LAPLACE_COEFFICIENT)
    # At the usual scale it is far off; the quadratic law holds for small scales.
    exact, scale = float(on_sphere(1, 64, 1 / 8)), 1 / 8
    assert exact == pytest.approx(-(scale**2) * 64 / 2, rel=0.05)
    assert float(laplace(1, 64, scale)) / exact > 3


def test_gaussian_scores():
    assert of_gaussian_scores(4096, 1.0) == pytest.approx(measured_gaussian(4096, 1.0), abs=0.03)
    lengths = (64, 512, 4096, 32_768)
    constant = [measured_gaussian(n, 2.0, draws=40) for n in lengths]
    log = [measured_gaussian(n, 2 * float(factor("log", n)), draws=40) for n in lengths]
    assert constant == pytest.approx([2.59, 4.42, 6.46, 8.40], abs=0.2)
    assert log == pytest.approx([3.33, 4.42, 5.21, 5.54], abs=0.25)
    assert 2.2 < (constant[-1] - constant[0]) / (log[-1] - log[0]) < 3.2


def test_the_root_of_the_logarithm_does_not_stop_the_growth_either():
    lengths = (64, 512, 4096, 32_768)
    root = [measured_gaussian(n, 2 * float(factor("sqrt_log", n)), draws=40) for n in lengths]
    assert root[-1] - root[0] > 3.5
    # The limit of many keys asks for lambda sigma = sqrt(2 (ln n - H0)).
    steady = [measured_gaussian(n, math.sqrt(2 * (math.log(n) - 4)), draws=40) for n in lengths]
    assert np.ptp(steady) < 1.2


def test_two_levels_need_the_logarithm():
    # One key at s, n - 1 at 0: its weight is constant iff s grows as ln n.
    n = np.array([100, 10_000, 1_000_000])
    weight = [np.exp(s) / (np.exp(s) + k - 1) for k, s in zip(n, np.log(n - 1) + 1.0)]
    assert np.ptp(weight) < 1e-12
    scores = [np.append([math.log(k - 1) / math.log(99)], np.zeros(k - 1)) for k in (100, 10_000)]
    share = [float(np.exp(5 * s - np.log(np.exp(5 * s).sum()))[0]) for s in scores]
    assert share[1] > share[0]


def test_factors():
    assert factor("log", 512) == factor("sqrt_log", 512) == factor("constant", 512) == 1.0
    assert factor("log", 1) == 0
    assert entropy([3.0], factor("log", 1)) == 0
    assert factor("log", 100, base=10) == pytest.approx(2)
    assert factor("sqrt_log", 10**4, base=10) == pytest.approx(2)
    d, n = 64, 3000
    kappa = math.sqrt(d) / math.log(512)
    assert kappa * math.log(n) / d == pytest.approx(float(factor("log", n)) / math.sqrt(d))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: entropy([]), "at least one"),
        (lambda: entropy([1.0, -math.inf]), "finite"),
        (lambda: lower_bound([1.0], -1), "scale"),
        (lambda: on_sphere(0, 64, 1.0), "at least 1 key"),
        (lambda: on_sphere(4, 1, 1.0), "d = 1"),
        (lambda: on_sphere(4, 64, -1.0), "scales >= 0"),
        (lambda: factor("log", 10, base=1), "base"),
        (lambda: factor("square", 10), "constant, log, sqrt_log"),
        (lambda: factor("log", math.nan), "at least 1 key"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
