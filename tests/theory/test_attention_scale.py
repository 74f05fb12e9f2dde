import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from paribus.core.errors import ConfigError
from paribus.theory.attention_scale import (
    alpha_star_cosine,
    alpha_star_normal,
    approximate_gradient_cosine,
    approximate_gradient_normal,
    best_alphas,
    causal_alpha_star_normal,
    gradient,
    mean_gradient,
    plateau,
)

LENGTHS = np.array([40, 256, 1000, 4096, 20_000])


def test_published_table():
    assert alpha_star_normal(LENGTHS) == pytest.approx([1.434, 1.864, 2.142, 2.406, 2.678], abs=1e-3)
    assert alpha_star_cosine(LENGTHS, 128) == pytest.approx([16.8, 22.3, 26.0, 29.7, 33.7], abs=0.05)
    assert alpha_star_cosine(LENGTHS, 64) == pytest.approx([12.3, 16.6, 19.7, 22.9, 26.4], abs=0.05)


@pytest.mark.parametrize("n", [1.01, 2, 256, 1e6, 1e300])
def test_the_closed_form_is_stationary(n):
    alpha = float(alpha_star_normal(n))
    assert math.log1p(2 * alpha**2) + alpha**2 == pytest.approx(math.log(n), rel=1e-10)


@pytest.mark.parametrize("n", [3, 256, 20_000])
def test_closed_forms_are_where_a_search_finds_the_maximum(n):
    found = minimize_scalar(lambda a: -float(approximate_gradient_normal(a, n)), bounds=(0, 6), method="bounded")
    assert alpha_star_normal(n) == pytest.approx(found.x, abs=1e-4)
    for d in (3, 64, 128):
        grid = np.linspace(1e-3, 4 * float(alpha_star_cosine(n, d)), 4001)
        best = grid[np.argmax(approximate_gradient_cosine(grid, n, d))]
        assert alpha_star_cosine(n, d) == pytest.approx(best, abs=grid[1])


def test_how_good_the_published_fits_are():
    n = np.geomspace(500, 20_000, 30)
    assert np.abs(0.84 * np.sqrt(np.log(n)) / alpha_star_normal(n) - 1).max() < 0.05
    n = np.geomspace(1000, 20_000, 10)
    assert np.abs(3.5 * np.log(n) / alpha_star_cosine(n, 128) - 1).max() < 0.08
    assert 0.84 * math.sqrt(math.log(40)) / alpha_star_normal(40) - 1 == pytest.approx(0.12, abs=0.01)
    assert 1 - 3.5 * math.log(40) / alpha_star_cosine(40, 128) == pytest.approx(0.23, abs=0.01)
    assert 4 * math.log(256) == pytest.approx(float(alpha_star_cosine(256, 128)), abs=0.2)


def test_many_dimensions_give_the_normal_law():
    assert alpha_star_cosine(1000, 128) / math.sqrt(128) == pytest.approx(2.30, abs=0.005)
    assert alpha_star_cosine(1000, 10**6) / 1000 == pytest.approx(float(alpha_star_normal(1000)), rel=1e-4)


def test_monotone_in_n():
    n = np.geomspace(1.5, 1e6, 40)
    assert (np.diff(alpha_star_normal(n)) > 0).all()
    assert (np.diff(alpha_star_cosine(n, 64)) > 0).all()
    assert causal_alpha_star_normal(2000) == alpha_star_normal(1000)
    assert alpha_star_normal(1.0000001) == pytest.approx(0, abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8), st.floats(0.1, 5))
def test_gradient_is_half_the_one_norm_of_the_jacobian(scores, alpha):
    p = np.exp(alpha * (np.array(scores) - max(scores)))
    p /= p.sum()
    jacobian = alpha * (np.diag(p) - np.outer(p, p))
    assert float(gradient(scores, alpha)) == pytest.approx(np.abs(jacobian).sum() / 2, rel=1e-9, abs=1e-13)


def test_limits_of_the_gradient():
    scores = [0.3, 1.0, -2.0]
    assert gradient(scores, [0.0, 1e4]) == pytest.approx([0, 0])
    # A tie of two maxima: the gradient grows as alpha / 2 for ever.
    assert gradient([1.0, 1.0, -2.0], [100.0, 1000.0]) == pytest.approx([50, 500])
    assert gradient(np.zeros((4, 3)), 2.0).shape == (4,)


@pytest.mark.parametrize(
    ("n", "draws", "curve"),
    [(256, 3000, (0.990, 1.855, 2.351, 2.569, 2.667)), (1000, 1500, (0.997, 1.939, 2.58, 2.89, 3.03))],
)
def test_no_peak_but_a_plateau(n, draws, curve):
    alphas = [1, 2, 3, 4, 5, 7, 12]
    mean = mean_gradient(alphas, n, draws=draws)
    assert mean[:5] == pytest.approx(curve, rel=0.03)
    at_star = mean_gradient(float(alpha_star_normal(n)), n, draws=draws)[0]
    assert at_star < 0.72 * mean[-1]
    assert mean[-1] == pytest.approx(plateau(n), rel=0.12)
    # One third of it at 1, about three quarters at 2.5.
    assert 0.29 < mean[0] / plateau(n) < 0.36
    assert 0.69 < mean_gradient(2.5, n, draws=draws)[0] / plateau(n) < 0.79


def test_the_expectation_fails_before_its_own_optimum():
    # alpha* of n = 1000 is beyond sqrt(ln n / 2), where the largest term carries the sum.
    assert alpha_star_normal(1000) > math.sqrt(math.log(1000) / 2)
    alpha = 3.0
    assert approximate_gradient_normal(alpha, 1000) < 0 < mean_gradient(alpha, 1000)[0]


def test_the_best_alpha_of_a_draw_scatters():
    for n, median in ((256, (4.4, 6.6)), (1000, (4.8, 7.2))):
        low, middle, high = np.quantile(best_alphas(n, draws=200), [0.25, 0.5, 0.75])
        assert median[0] < middle < median[1]
        assert high / low > 3


def test_best_alpha_of_one_draw_is_a_maximum():
    from paribus.theory.attention_scale import _draw

    scores, best = _draw(50, None, 5, 3), best_alphas(50, draws=5, seed=3)
    for row, alpha in zip(scores, best):
        assert (gradient(row, alpha) >= gradient(row, np.geomspace(0.1, 500, 3000)) - 1e-4).all()


def test_plateau_is_the_density_of_ties():
    assert plateau(2) == pytest.approx(1 / math.sqrt(math.pi))
    # Uniform scores (d = 3) on [-1, 1]: the largest gap has density n / 2 at zero.
    assert plateau(100, 3) == pytest.approx(50)
    top = np.sort(np.random.default_rng(0).standard_normal((200_000, 8)), axis=1)[:, -2:]
    assert np.mean(np.diff(top) < 0.02) / 0.02 == pytest.approx(plateau(8), rel=0.05)
    ratios = [plateau(n) / math.sqrt(2 * math.log(n)) for n in (10, 1000, 10**6)]
    assert ratios == sorted(ratios)
    assert 0.7 < ratios[0] < ratios[-1] < 1


def test_cosine_scores_have_a_plateau_too():
    star = float(alpha_star_cosine(1000, 128))
    mean = mean_gradient([star, 2 * star, 6 * star], 1000, 128, draws=500)
    assert mean[0] < 0.75 * mean[2]
    assert mean[2] == pytest.approx(plateau(1000, 128), rel=0.12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: alpha_star_normal(1), "more than 1 key"),
        (lambda: alpha_star_normal([5, math.nan]), "more than 1 key"),
        (lambda: alpha_star_cosine(1, 64), "more than 1 key"),
        (lambda: alpha_star_cosine(10, 2), "at least 3"),
        (lambda: causal_alpha_star_normal(2), "more than 2"),
        (lambda: gradient([1.0, math.nan], 1.0), "finite"),
        (lambda: gradient([], 1.0), "at least one"),
        (lambda: mean_gradient(1.0, 1), "at least 2"),
        (lambda: mean_gradient(1.0, 8, draws=0), "draws"),
        (lambda: plateau(1), "at least 2"),
        (lambda: plateau(10, 2), "at least 3"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
