import math

import numpy as np
import pytest

from paribus.core.errors import ConfigError
from paribus.theory.johnson_lindenstrauss import (
    dimension,
    distortion,
    failure_probability,
    projected,
    rule_of_thumb,
    sufficient_dimension,
)


def directions(n, d=600, seed=0):
    points = np.random.default_rng(seed).standard_normal((n, d))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_rules_of_thumb():
    assert rule_of_thumb([512, 100_000]) == pytest.approx([50, 92], abs=0.2)
    assert rule_of_thumb(100_000, 8.33) == pytest.approx(95.9, abs=0.05)


def test_rules_of_thumb_keep_no_distances_and_the_bounds_do():
    points = directions(500)
    few = distortion(points, projected(points, round(float(rule_of_thumb(500, 8.33)))))
    assert 0.55 < few.inner_product < 0.95
    assert few.least < 0.5
    assert few.greatest > 1.8
    many = distortion(points, projected(points, round(8 * math.log(500) / 0.25**2)))
    assert many.inner_product < 0.22
    assert 0.75 < many.least < many.greatest < 1.3
    enough = distortion(points, projected(points, sufficient_dimension(500, 0.25, failure=0.01)))
    assert 0.75 < enough.least < enough.greatest < 1.25


@pytest.mark.parametrize(("n", "eps"), [(10, 0.1), (512, 0.25), (100_000, 0.5)])
def test_closed_form_is_on_the_safe_side(n, eps):
    m = dimension(n, eps)
    assert m == math.ceil(4 * math.log(n) / (eps**2 / 2 - eps**3 / 3))
    assert failure_probability(n, m, eps) < 1
    assert sufficient_dimension(n, eps, failure=0.999) <= m


def test_sufficient_dimension_is_the_least():
    m = sufficient_dimension(100, 0.3, failure=0.05)
    assert failure_probability(100, m, 0.3) <= 0.05 < failure_probability(100, m - 1, 0.3)


def test_failures_happen_no_more_often_than_bounded():
    n, m, eps = 6, 60, 0.4
    bound = failure_probability(n, m, eps)
    assert 0.02 < bound < 0.9
    points = directions(n, d=30)
    failures = 0
    for seed in range(400):
        found = distortion(points, projected(points, m, seed))
        failures += found.least < 1 - eps or found.greatest > 1 + eps
    assert bound / 4 < failures / 400 < bound + 0.05


def test_squared_distances_are_unbiased():
    points = directions(2, d=9)
    before = ((points[0] - points[1]) ** 2).sum()
    after = [((p[0] - p[1]) ** 2).sum() for p in (projected(points, 5, seed) for seed in range(4000))]
    assert np.mean(after) == pytest.approx(before, rel=0.05)
    assert np.var(after) / before**2 == pytest.approx(2 / 5, rel=0.1)


def test_distortion_of_nothing_is_none():
    points = directions(7)
    found = distortion(points, points)
    assert (found.least, found.greatest, found.inner_product) == (1, 1, 0)
    doubled = distortion(points, 2 * points)
    assert (doubled.least, doubled.greatest) == pytest.approx((4, 4))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dimension(1, 0.5), "at least 2"),
        (lambda: dimension(10, 0.0), "eps"),
        (lambda: dimension(10, 1.0), "eps"),
        (lambda: dimension(10, math.nan), "eps"),
        (lambda: failure_probability(10, 0, 0.5), "m = 0"),
        (lambda: sufficient_dimension(10, 0.5, failure=1.5), "failure"),
        (lambda: rule_of_thumb(0), "at least 1"),
        (lambda: projected(np.ones(4), 2), "shape"),
        (lambda: projected(np.ones((4, 2)), 2.5), "m = 2.5"),
        (lambda: distortion(np.ones((4, 2)), np.ones((3, 2))), "same points"),
        (lambda: distortion(np.ones((2, 2)), np.ones((2, 2))), "two are equal"),
        (lambda: distortion([[1.0, math.inf], [0, 0]], np.ones((2, 2))), "finite"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
