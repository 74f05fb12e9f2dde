import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from paribus.core.errors import ConfigError
from paribus.lab.statistics import EXACT_UP_TO, Paired, holm, signflip_method, summarize

number = st.floats(-10, 10).map(lambda x: round(x, 3))
differences = st.lists(number, min_size=2, max_size=9)


def paired(*values):
    return Paired(tuple(float(value) for value in values))


def normal(n, mean=0.0, seed=0):
    return Paired(tuple(np.random.default_rng(seed).normal(mean, 1.0, n)))


@given(differences, number, st.sampled_from([0.9, 0.95, 0.9917]))
def test_t_is_the_textbooks(values, border, confidence):
    assume(np.ptp(values) > 0)
    d = paired(*values)
    known = stats.ttest_1samp(values, border)
    assert d.p_t(border) == pytest.approx(known.pvalue, rel=1e-8, abs=1e-12)
    assert d.p_t_above(border) == pytest.approx(stats.ttest_1samp(values, border, alternative="greater").pvalue)
    assert d.p_t_below(border) == pytest.approx(stats.ttest_1samp(values, border, alternative="less").pvalue)
    assert d.interval(confidence) == pytest.approx(tuple(known.confidence_interval(confidence)))


@given(differences, number, st.sampled_from([0.9, 0.95]))
def test_the_interval_excludes_a_border_where_p_is_small(values, border, confidence):
    assume(np.ptp(values) > 0)
    d = paired(*values)
    low, high = d.interval(confidence)
    assume(min(abs(low - border), abs(high - border)) > 1e-9)
    assert (d.p_t(border) < 1 - confidence) == (not low <= border <= high)


def test_two_one_sided_tests_are_those_of_statsmodels():
    first, second = np.random.default_rng(3).normal(0, 1, (2, 11))
    d = Paired.of(first, second)
    p, *_ = ttost_paired(first, second, -0.8, 0.8)
    assert max(d.p_t_above(-0.8), d.p_t_below(0.8)) == pytest.approx(p)


@settings(deadline=None, max_examples=60)
@given(differences, number)
def test_sign_flips_are_those_of_scipy(values, border):
    """An independent enumeration of all 2^n patterns, ties and zeros included."""
    found = paired(*values).signflip(border)
    shifted = np.round(np.asarray(values) - border, 6)
    for alternative, p in (("greater", found.above), ("less", found.below), ("two-sided", found.two_sided)):
        known = stats.permutation_test(
            (shifted,), np.sum, permutation_type="samples", alternative=alternative, n_resamples=math.inf
        )
        assert p == pytest.approx(known.pvalue)


@given(differences, number)
def test_the_other_arm_sees_the_mirror_image(values, border):
    here, there = paired(*values), paired(*(-value for value in values))
    assert here.p_t_above(border) == pytest.approx(there.p_t_below(-border))
    assert here.signflip(border).above == there.signflip(-border).below
    assert here.signflip(border).two_sided == there.signflip(-border).two_sided


def test_the_smallest_sign_flip_p_is_two_in_two_to_the_n():
    for n in (1, 2, 5, 8):
        assert paired(*range(1, n + 1)).signflip().two_sided == 2 / 2**n
        assert paired(*range(1, n + 1)).signflip().above == 1 / 2**n


def test_many_pairs_are_drawn_from_a_fixed_seed_and_that_is_said():
    assert signflip_method(EXACT_UP_TO) == "exact, all 1,048,576 sign patterns"
    assert "Monte Carlo, 99,999" in signflip_method(EXACT_UP_TO + 1)
    d = normal(53, 0.3)
    assert d.signflip() == Paired(d.values).signflip()
    assert d.signflip().two_sided == pytest.approx(d.p_t(), abs=0.005)
    assert d.signflip(0.6).below == pytest.approx(d.p_t_below(0.6), abs=0.005)
    certain = normal(53, 9.0).signflip()
    assert (certain.above, certain.below, certain.two_sided) == (1 / 100_000, 1.0, 1 / 100_000)


def test_enumeration_and_draws_agree(monkeypatch):
    exact = normal(13, 0.4).signflip(0.1)
    monkeypatch.setattr("paribus.lab.statistics.EXACT_UP_TO", 12)
    drawn = normal(13, 0.4).signflip(0.1)
    assert drawn != exact
    for name in ("above", "below", "two_sided"):
        # five standard errors of a share of 99,999 draws
        assert getattr(drawn, name) == pytest.approx(getattr(exact, name), abs=0.008)


@pytest.mark.parametrize("value", [0.0, 0.3, -0.125])
def test_equal_differences_have_a_point_for_an_interval(value):
    d = paired(*[value] * 8)
    assert d.sd == 0
    assert d.mean == value
    assert d.interval(0.95) == (value, value)
    assert d.p_t(value) == 1.0
    assert d.p_t(value + 0.01) == d.p_t(value - 0.01) == 0.0
    assert d.p_t_above(value - 0.01) == 0.0
    assert d.p_t_below(value - 0.01) == 1.0
    assert d.signflip(value).two_sided == 1.0
    assert d.signflip(value - 0.01).two_sided == 2 / 256
    found = summarize(d)
    assert found.d_z is None
    assert found.bca95 == (value, value)
    assert found.p_wilcoxon == (1.0 if value == 0 else 2 / 256)


def test_rounding_decides_nothing():
    """0.55 - 0.5 is 0.05 and a few last bits: neither above 0.05 nor below it."""
    d = Paired.of([0.55] * 8, [0.5] * 8)
    assert d.mean != 0.05
    assert not d.clears(d.mean, 0.05)
    assert not d.clears(0.05, d.mean)
    assert d.p_t(0.05) == d.signflip(0.05).two_sided == 1.0
    noisy = Paired.of([0.3, 0.4, 0.7, 0.8], [0.2, 0.3, 0.6, 0.7])
    assert len(set(noisy.values)) > 1
    assert noisy.sd == 0
    assert noisy.signflip(0.1).two_sided == 1.0
    small = Paired.of([1000 + i / 10 + 1e-6 for i in range(8)], [1000 + i / 10 for i in range(8)])
    assert small.mean != 1e-6
    assert small.signflip(1e-6).two_sided == 1.0


def test_a_single_pair_says_nothing():
    d = paired(0.4)
    assert d.interval(0.95) == (-math.inf, math.inf)
    assert d.p_t() == d.p_t_above() == d.signflip().two_sided == 1.0
    assert math.isnan(d.sd)
    found = summarize(d)
    assert (found.sd, found.d_z, found.bca95) == (None, None, None)


def test_differences_are_oriented():
    assert Paired.of([3.0, 5.0], [1.0, 2.0]).values == (2.0, 3.0)
    assert Paired.of([3.0, 5.0], [1.0, 2.0], lower_is_better=True).values == (-2.0, -3.0)


def test_bad_pairs_are_named():
    with pytest.raises(ConfigError, match="3 results against 2"):
        Paired.of([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(ConfigError, match="not all finite"):
        paired(0.1, math.nan)
    with pytest.raises(ConfigError, match="at least one pair"):
        Paired(())


def test_the_summary_is_what_the_libraries_say():
    d = normal(12, 0.5, seed=5)
    found = summarize(d)
    assert found.n == 12
    assert found.mean == pytest.approx(np.mean(d.values))
    assert found.sd == pytest.approx(np.std(d.values, ddof=1))
    assert found.median == pytest.approx(np.median(d.values))
    assert found.d_z == pytest.approx(found.mean / found.sd)
    assert found.share_won == np.mean(np.array(d.values) > 0)
    assert found.p_wilcoxon == pytest.approx(stats.wilcoxon(d.values, method="exact").pvalue)
    assert found.ci95[0] < found.ci90[0] < found.mean < found.ci90[1] < found.ci95[1]
    assert found.bca95[0] == pytest.approx(found.ci95[0], abs=0.35 * found.sd)
    assert found.bca95[1] == pytest.approx(found.ci95[1], abs=0.35 * found.sd)
    assert summarize(d) == found


def test_the_summary_drops_no_outlier():
    values = [0.01, 0.02, 0.015, 0.012, 0.018, 0.011, 0.016, -0.9]
    found = summarize(paired(*values))
    assert found.mean < 0 < found.median
    assert found.share_won == 7 / 8


p_lists = st.lists(st.one_of(st.sampled_from([0.0, 0.0078125, 0.05, 1.0]), st.floats(0, 1)), min_size=1, max_size=7)


@settings(deadline=None, max_examples=8)
@given(p_lists)
def test_holm_is_that_of_statsmodels(p_values):
    known = multipletests(p_values, method="holm")[1]
    assert [one.p for one in holm(p_values)] == pytest.approx(list(known))


@given(p_lists)
def test_holms_level_decides_like_its_p(p_values):
    k = len(p_values)
    steps = holm(p_values)
    for p, step in zip(p_values, steps):
        assume(abs(p - step.level) > 1e-12)
        assert (step.p <= 0.05) == (p <= step.level)
        assert 0.05 / k - 1e-15 <= step.level <= 0.05
    for p, step in zip(p_values, steps):
        assert {other.level for q, other in zip(p_values, steps) if q == p} == {step.level}


def test_holm_step_by_step():
    steps = holm([0.03, 0.001, 0.2, 0.012])
    assert [step.p for step in steps] == pytest.approx([0.06, 0.004, 0.2, 0.036])
    assert [step.level for step in steps] == pytest.approx([0.05 / 2, 0.05 / 4, 0.05 / 2, 0.05 / 3])
