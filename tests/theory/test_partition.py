import doctest
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.core.errors import ConfigError
from paribus.theory.partition import partition, partition_brute, partition_published


def answer(n, method=partition):
    found = method(n)
    return found.a, found.b, found.c


def first_published_algorithm(n):
    """Algorithm A of the post as it stands: a in (sqrt(n/2), sqrt(n)], b = floor(n/a)."""
    return min(a + n // a + n % a for a in range(math.isqrt(n // 2) + 1, math.isqrt(n) + 1) if 2 * a * a > n)


def test_the_whole_definition_on_small_n():
    for n in range(60):
        pairs = [(a, b) for a in range(n + 1) for b in range(a, n + 1) if a * b <= n]
        best = min((a + b + n - a * b, n - a * b, a, b) for a, b in pairs)
        assert (partition(n).total, *answer(n)) == (best[0], best[2], best[3], best[1])


def test_equals_brute_force_up_to_20000():
    for n in range(20_001):
        assert answer(n) == answer(n, partition_brute), n


def test_equals_the_published_search():
    for n in [*range(4, 3000), *range(956_600, 956_700), 10**12 + 39, 10**15 + 7]:
        assert answer(n) == answer(n, partition_published), n


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**24))
def test_invariants_and_bounds_at_any_size(n):
    found = partition(n)
    assert found.a * found.b + found.c == n
    assert 0 <= found.a <= found.b
    assert found.c >= 0
    assert found.rounds <= 2 * math.sqrt(math.sqrt(n)) + 3
    if n >= 4:
        assert found.total**2 >= 4 * n
        assert (found.total**2 == 4 * n) == (math.isqrt(n) ** 2 == n)
        assert found.total <= 2 * math.isqrt(n) + 5 + math.isqrt(1 + 4 * math.isqrt(n) + 4)


@pytest.mark.parametrize(
    ("n", "expected"),
    [(0, (0, 0, 0)), (1, (0, 0, 1)), (2, (0, 0, 2)), (3, (0, 0, 3)), (4, (2, 2, 0)), (130, (10, 13, 0))],
)
def test_worked_examples(n, expected):
    assert answer(n) == expected


def test_the_example_of_the_docstring():
    assert doctest.testmod(sys.modules[partition.__module__]) == (0, 1)


def test_the_obvious_guess_is_wrong():
    assert partition(130).total == 23
    assert 11 + 11 + (130 - 121) == 31

    def guess(n):
        a = math.isqrt(n)
        return min(a + b + n - a * b for b in (a, a + 1) if a * b <= n)

    assert sum(guess(n) != partition(n).total for n in range(101, 4001)) == 3306


def test_the_first_published_algorithm_fails_at_128():
    wrong = [n for n in range(101, 20_001) if first_published_algorithm(n) != partition(n).total]
    assert len(wrong) == 21
    assert wrong[:7] == [128, 129, 162, 163, 164, 200, 201]
    assert first_published_algorithm(128) == 25
    assert answer(128) == (8, 16, 0)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 10**12))
def test_squares_and_oblong_numbers(k):
    assert answer(k * k) == (k, k, 0)
    assert answer(k * (k + 1)) == (k, k + 1, 0)


def test_twice_a_square():
    assert [m for m in range(8, 17) if partition(2 * m * m).total == 3 * m] == [8, 9, 10, 11, 13, 16]
    assert answer(288) == (16, 18, 0)


def test_the_largest_excess_up_to_a_million_lies_where_it_was_found():
    assert partition(956_649).total - math.isqrt(4 * 956_649) == 58
    assert max(partition(n).total - math.isqrt(4 * n) for n in range(950_000, 960_000)) == 58


def test_rounds_of_random_numbers_grow_as_the_sixth_root():
    draw = np.random.default_rng(0)
    for digits, low, high in ((9, 1.0, 1.25), (15, 1.0, 1.3), (18, 1.0, 1.35)):
        rounds = [partition(int(draw.integers(10**digits))).rounds for _ in range(300)]
        # The mean of N^(1/6) over uniform N below 10^k is 6/7 of its value at the top.
        assert low * 6 / 7 < np.mean(rounds) / 10 ** (digits / 6) < high
    published = partition_published(10**10 + 1)
    assert abs(published.rounds / (2 * 10**2.5) - 1) < 0.01


@pytest.mark.parametrize("n", [-1, 2.0, "12", None, True, float("nan")])
def test_bad_input(n):
    with pytest.raises(ConfigError, match="expected a non-negative integer"):
        partition(n)


def test_published_search_says_where_it_is_wrong():
    with pytest.raises(ConfigError, match="wrong below 4"):
        partition_published(3)


def test_numpy_integers_are_integers():
    assert answer(np.int64(130)) == (10, 13, 0)
