import math

import numpy as np
import pytest

from paribus.core.errors import ConfigError
from paribus.lab import power
from paribus.lab.rules import Evidence, equivalent, greater
from paribus.lab.statistics import Paired


@pytest.mark.parametrize(("n", "effect"), [(5, 1.66), (8, 1.15), (16, 0.76), (32, 0.51)])
def test_the_known_table_of_the_t_test(n, effect):
    """Differences found with power 0.8 at alpha 0.05, in sd of d; the table is rounded from an approximation."""
    assert power.t_smallest_effect(n) == pytest.approx(effect, abs=0.025)
    assert power.t_power(n, power.t_smallest_effect(n)) == pytest.approx(0.8)


def test_equivalence_as_planned_for_the_laptop():
    """0.023 nats at a paired sd of 0.027: power 0.43 with 8 seeds, 0.89 with 16 (t alone)."""
    assert power.tost_power(8, 0.023 / 0.027) == pytest.approx(0.43, abs=0.005)
    assert power.tost_power(16, 0.023 / 0.027) == pytest.approx(0.89, abs=0.005)


def test_the_power_of_two_one_sided_tests_is_that_of_a_simulation():
    d = np.random.default_rng(0).standard_normal((40_000, 7))
    room = 1.1 - np.abs(d.mean(axis=1)) - 1.943180 * d.std(axis=1, ddof=1) / math.sqrt(7)  # t_{0.95, 6}
    assert power.tost_power(7, 1.1) == pytest.approx(np.mean(room > 0), abs=0.01)


@pytest.mark.parametrize(("comparisons", "fewest"), [(1, 6), (2, 7), (3, 7), (4, 8), (6, 8), (7, 9)])
def test_too_few_seeds_can_decide_nothing(comparisons, fewest):
    assert power.fewest_seeds(comparisons) == fewest
    assert 2 / 2**fewest <= 0.05 / comparisons < 2 / 2 ** (fewest - 1)
    assert power.smallest_effect(fewest - 1, comparisons=comparisons) == math.inf
    assert power.power(fewest - 1, 100.0, comparisons=comparisons) == 0.0
    assert power.power(fewest, 100.0, comparisons=comparisons) == 1.0
    assert power.seeds_for_effect(100.0, comparisons=comparisons) == fewest


@pytest.mark.parametrize(("comparisons", "fewest"), [(1, 5), (2, 6), (3, 6), (4, 7), (6, 7), (7, 8)])
def test_too_few_seeds_can_find_no_equivalence(comparisons, fewest):
    assert power.fewest_for_equivalence(comparisons) == fewest
    assert 1 / 2**fewest <= 0.05 / comparisons < 1 / 2 ** (fewest - 1)
    assert power.smallest_margin(fewest - 1, comparisons=comparisons) == math.inf
    assert power.equivalence_power(fewest - 1, 100.0, comparisons=comparisons) == 0.0
    assert power.equivalence_power(fewest, 100.0, comparisons=comparisons) == 1.0


def test_an_equivalence_may_be_found_by_one_seed_less():
    assert power.fewest_for_equivalence() == 5
    assert power.smallest_margin(4) == math.inf
    assert power.equivalence_power(4, 100.0) == 0.0
    assert power.equivalence_power(5, 100.0) == 1.0
    assert power.seeds_for_equivalence(100.0) == 5


@pytest.mark.parametrize(("n", "comparisons"), [(6, 1), (8, 1), (8, 4), (10, 6), (16, 1), (32, 4)])
def test_effect_power_and_seeds_belong_together(n, comparisons):
    effect = power.smallest_effect(n, 0.03, comparisons)
    assert power.power(n, effect, 0.03, comparisons) == pytest.approx(0.8, abs=1e-3)
    assert power.seeds_for_effect(1.001 * effect, 0.03, comparisons) == n
    assert power.smallest_effect(n, 1.0, comparisons) == pytest.approx(effect / 0.03)
    margin = power.smallest_margin(n, 0.03, comparisons)
    assert power.equivalence_power(n, margin, 0.03, comparisons) == pytest.approx(0.8, abs=1e-3)
    assert power.seeds_for_equivalence(1.001 * margin, 0.03, comparisons) == n


def test_the_rule_asks_for_more_than_t_where_seeds_are_few():
    for n in range(8, 13):
        for comparisons in (1, 4):
            assert power.smallest_effect(n, comparisons=comparisons) > power.t_smallest_effect(n, 0.05 / comparisons)
    # With 8 seeds and 4 comparisons all 8 signs must agree.
    assert power.smallest_effect(8, comparisons=4) == pytest.approx(1.93, abs=0.03)
    assert power.t_smallest_effect(8, 0.0125) == pytest.approx(1.53, abs=0.01)


def test_a_small_margin_needs_hundreds_of_seeds():
    """0.005 nats at sd 0.03: about 285 pairs."""
    assert power.seeds_for_effect(0.005, 0.03) == pytest.approx(285, abs=1)
    assert power.seeds_for_equivalence(0.005, 0.03) > 285
    assert power.seeds_for_effect(1e-9, 1.0) == power.MOST_SEEDS


@pytest.mark.parametrize("n", [7, 9])
def test_the_power_of_the_rule_is_found_again_with_other_numbers(n):
    """By the rules themselves, on draws that power.py has not seen: within four standard errors."""
    random = np.random.default_rng(n)
    effect, margin = power.smallest_effect(n, comparisons=2), power.smallest_margin(n, comparisons=2)
    draws = random.standard_normal((1_500, n))
    found = [greater(Evidence(Paired(tuple(z + effect)), 0.025), 0.0, None) == "reproduced" for z in draws]
    same = [equivalent(Evidence(Paired(tuple(z)), 0.025), margin) == "reproduced" for z in draws]
    assert np.mean(found) == pytest.approx(0.8, abs=0.045)
    assert np.mean(same) == pytest.approx(0.8, abs=0.045)


def test_the_shift_is_where_the_sign_flip_test_turns():
    """The closed form against the enumeration: just above the shift at most `patterns` patterns count, below more."""
    z = np.random.default_rng(1).standard_normal((20, 7))
    for patterns in (1, 3, 6):
        for row, shift in zip(z, power._signflip_shift(z, patterns)):
            assert Paired(tuple(row + shift + 1e-6)).signflip().above <= patterns / 2**7
            assert Paired(tuple(row + shift - 1e-6)).signflip().above > patterns / 2**7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power.smallest_effect(0), "0 seeds"),
        (lambda: power.power(8, 1.0, sd=0.0), "standard deviation 0.0"),
        (lambda: power.power(8, 1.0, comparisons=0), "0 comparisons"),
        (lambda: power.power(8, 1.0, alpha=5.0), "alpha = 5.0"),
        (lambda: power.seeds_for_effect(0.0), "expected a positive size"),
    ],
)
def test_impossible_plans_are_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
