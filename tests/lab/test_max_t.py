"""Step-down max-T against brute force, against the sign-flip test, and what it promises."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.core.errors import ConfigError
from paribus.lab import max_t as module
from paribus.lab.max_t import max_t
from paribus.lab.statistics import Paired, holm


def t_of(d):
    n, mean = len(d), sum(d) / len(d)
    variance = sum((x - mean) ** 2 for x in d) / (n - 1)
    return abs(mean) / math.sqrt(variance / n)


def by_hand(rows):
    """Order by |t|; p of the j-th: share of patterns with a maximum over j, j + 1, ... as large; then never falling."""
    n = len(rows[0])
    observed = [t_of(d) for d in rows]
    order = sorted(range(len(rows)), key=lambda i: -observed[i])
    adjusted, highest = [0.0] * len(rows), 0.0
    for j, i in enumerate(order):
        count = 0
        for signs in itertools.product((1, -1), repeat=n):
            flipped = [t_of([s * x for s, x in zip(signs, rows[k])]) for k in order[j:]]
            count += max(flipped) >= observed[i] * (1 - 1e-9)
        highest = max(highest, count / 2**n)
        adjusted[i] = highest
    return adjusted


@given(st.integers(1, 5), st.integers(2, 6), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_by_definition(k, n, seed):
    random = np.random.default_rng(seed)
    rows = random.standard_normal((k, n)) + random.standard_normal((1, n)) + 0.7 * np.arange(k)[:, None]
    assert max_t(rows.tolist()) == pytest.approx(by_hand(rows.tolist()), abs=1e-12)


@given(st.integers(2, 9), st.integers(0, 10_000))
@settings(max_examples=60)
def test_one_comparison_is_the_sign_flip_test(n, seed):
    d = np.random.default_rng(seed).standard_normal(n) + 0.5
    assert max_t([d.tolist()])[0] == pytest.approx(Paired(tuple(d)).signflip().two_sided, abs=1e-12)


@pytest.mark.parametrize("n", [3, 6, 8])
@pytest.mark.parametrize("comparisons", [1, 2, 40])
def test_the_smallest_p_does_not_grow_with_the_comparisons(n, comparisons):
    """Where Holm's procedure multiplies it."""
    far = np.random.default_rng(4).standard_normal((comparisons, n)) * 1e-3 + 5
    assert max_t(far.tolist()) == [2 / 2**n] * comparisons
    assert holm([2 / 2**n] * comparisons)[0].p == min(1, comparisons * 2 / 2**n)


def test_without_variance():
    """Equal differences are either no difference at all, or one that only the common sign gives back."""
    assert max_t([[0.0] * 6, [2.0] * 6, [-2.0] * 6]) == [1.0, 2 / 64, 2 / 64]
    assert max_t([[1e-17, -1e-17, 1e-17, 1e-17]], [1e-12]) == [1.0]
    assert max_t([[3.0], [1.0]]) == [1.0, 1.0]


def test_drawn_patterns_are_near_all_of_them(monkeypatch):
    rows = (np.random.default_rng(3).standard_normal((6, 12)) + 0.3 * np.arange(6)[:, None]).tolist()
    exact = max_t(rows)
    monkeypatch.setattr(module, "EXACT_UP_TO", 11)
    drawn = max_t(rows)
    assert drawn == max_t(rows)
    assert drawn == pytest.approx(exact, abs=0.02)
    assert min(drawn) >= 1 / (module.DRAWS + 1)


@pytest.mark.parametrize("skewed", [False, True], ids=["normal", "exponential"])
def test_any_false_difference_among_equal_arms(skewed):
    """All pairs of five equal arms, 7 replicates: at most 5 %, also where a run's errors lean to one side."""
    random, claims, wrong = np.random.default_rng(11), 400, 0
    for _ in range(claims):
        arms = (random.standard_exponential if skewed else random.standard_normal)((5, 7))
        pairs = [arms[i] - arms[j] for i, j in itertools.combinations(range(5), 2)]
        wrong += min(max_t(pairs)) <= 0.05
    assert 0.005 <= wrong / claims <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / claims)


def test_a_true_difference_does_not_break_the_promise_for_the_others():
    random, claims, wrong = np.random.default_rng(12), 400, 0
    for _ in range(claims):
        arms = random.standard_normal((5, 8)) + np.array([[9.0], [0], [0], [0], [0]])
        pairs = list(itertools.combinations(range(5), 2))
        told = max_t([arms[i] - arms[j] for i, j in pairs])
        wrong += any(p <= 0.05 for (i, _), p in zip(pairs, told) if i > 0)
    assert wrong / claims <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / claims)


def test_refusals():
    with pytest.raises(ConfigError, match="no replicates"):
        max_t([[], []])
    with pytest.raises(ConfigError, match="not all finite"):
        max_t([[1.0, math.nan]])
