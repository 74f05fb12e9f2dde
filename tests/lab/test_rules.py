import pytest

from paribus.lab.predictions import Equivalent, Greater, NotWorse
from paribus.lab.rules import Evidence, aa_holds, equivalent, greater, not_worse, outcome, p_values
from paribus.lab.statistics import Paired

FACTS = {"than": "baseline", "metric": "accuracy", "provenance": "blind", "dated": "2026-11-22"}
# Chosen so that at the ends of its t intervals the sign-flip test decides: there the interval alone is tested.
SPREAD = (1.04, 0.96, 1.02, 0.97, 1.08, 1.0, 0.89, 1.03)


def always(value, n=8):
    """Evidence whose intervals are the point `value`."""
    return Evidence(Paired((value,) * n))


def around(mean, sd=0.05):
    """Evidence with spread about `mean`."""
    centred = [x - sum(SPREAD) / 8 for x in SPREAD]
    return Evidence(Paired(tuple(mean + sd / 0.05 * x for x in centred)))


@pytest.mark.parametrize(
    ("value", "by", "margin", "word"),
    [
        (0.2, 0.1, None, "reproduced"),
        (0.1, 0.1, None, "undecided"),
        (0.0, 0.0, None, "undecided"),
        (0.0, 0.0, 0.1, "undecided"),
        (0.05, 0.1, None, "contradicted"),
        (0.05, 0.1, 0.06, "equivalent"),
        (0.05, 0.1, 0.05, "contradicted"),
        (0.05, 0.1, 0.04, "contradicted"),
        (-0.05, 0.0, 0.06, "equivalent"),
        (-0.05, 0.0, 0.05, "contradicted"),
        (-0.05, 0.0, None, "contradicted"),
        (0.2, 0.1, 0.5, "reproduced"),
    ],
)
def test_greater_at_its_borders(value, by, margin, word):
    assert greater(always(value), by, margin) == word


@pytest.mark.parametrize(
    ("value", "word"),
    [(0.1, "reproduced"), (0.0, "reproduced"), (-0.09, "reproduced"), (-0.1, "undecided"), (-0.11, "contradicted")],
)
def test_not_worse_at_its_borders(value, word):
    assert not_worse(always(value), 0.1) == word


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (0.0, "reproduced"),
        (0.09, "reproduced"),
        (-0.09, "reproduced"),
        (0.1, "undecided"),
        (-0.1, "undecided"),
        (0.11, "contradicted"),
        (-0.11, "contradicted"),
    ],
)
def test_equivalent_at_its_borders(value, word):
    assert equivalent(always(value), 0.1) == word


def test_an_interval_that_touches_the_border_decides_nothing():
    evidence = around(1.0)
    low, high = evidence.ci95
    hair = 1e-9
    assert evidence.paired.signflip(low).two_sided <= 0.05
    assert evidence.paired.signflip(high).two_sided <= 0.05
    assert greater(evidence, low, None) == "undecided"
    assert greater(evidence, low - hair, None) == "reproduced"
    assert greater(evidence, high, None) == "undecided"
    assert greater(evidence, high + hair, None) == "contradicted"
    below = around(-1.0)
    low, high = below.ci95
    assert not_worse(below, -low) == "undecided"
    assert not_worse(below, -low + hair) == "reproduced"
    assert not_worse(below, -high) == "undecided"
    assert not_worse(below, -high - hair) == "contradicted"


def test_equivalence_looks_at_the_90_percent_interval():
    evidence = around(0.02)
    high90, high95 = evidence.ci90[1], evidence.ci95[1]
    assert high90 < high95
    assert equivalent(evidence, high90) == "undecided"
    assert equivalent(evidence, high90 + 1e-9) == "reproduced"
    assert equivalent(evidence, (high90 + high95) / 2) == "reproduced"
    far = around(1.0)
    low95, low90 = far.ci95[0], far.ci90[0]
    assert equivalent(far, low95 - 1e-9) == "contradicted"
    assert equivalent(far, (low95 + low90) / 2) == "undecided"


def test_a_smaller_level_widens_both_intervals():
    paired = around(1.0).paired
    plain, adjusted = Evidence(paired), Evidence(paired, 0.05 / 3)
    assert adjusted.ci95 == paired.interval(1 - 0.05 / 3)
    assert adjusted.ci90 == paired.interval(1 - 0.1 / 3)
    assert plain.ci95 == paired.interval(0.95)
    between = (plain.ci95[0] + adjusted.ci95[0]) / 2
    assert greater(plain, between, None) == "reproduced"
    assert greater(adjusted, between, None) == "undecided"


@pytest.mark.parametrize("mean", [1.0, 0.0, -1.0])
def test_five_pairs_decide_nothing(mean):
    """t is certain; the smallest sign-flip p of 5 pairs is 0.0625, so that the tests disagree."""
    evidence = Evidence(Paired((mean,) * 5))
    assert greater(evidence, 0.5, 0.1) == "undecided"
    assert not_worse(evidence, 0.5) == "undecided"


def test_five_pairs_may_be_equivalent():
    """One-sided the smallest sign-flip p is 1/32."""
    assert equivalent(Evidence(Paired((0.0,) * 5)), 0.5) == "reproduced"
    assert equivalent(Evidence(Paired((0.0,) * 4)), 0.5) == "undecided"
    assert equivalent(Evidence(Paired((1.0,) * 5)), 0.5) == "undecided"


@pytest.mark.parametrize("sign", [1, -1])
def test_an_equivalence_needs_the_sign_flips_on_both_sides(sign):
    """The interval lies inside; the one large value makes the sign-flip test unsure of the nearer end alone."""
    evidence = Evidence(Paired(tuple(sign * x for x in (0.01, 0.02, 0.01, 0.07, 0.02, 0.01))))
    assert max(abs(end) for end in evidence.ci90) < 0.044
    nearer, farther = evidence.paired.signflip(sign * 0.044), evidence.paired.signflip(-sign * 0.044)
    assert min(nearer.above, nearer.below) == 0.0625
    assert min(farther.above, farther.below) == 0.015625
    assert equivalent(evidence, 0.044) == "undecided"
    assert equivalent(evidence, 0.08) == "reproduced"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_disagreement_is_undecided(sign):
    """Seven small differences and a huge one: all signs agree, but t sees no effect."""
    evidence = Evidence(Paired((*[sign * 0.1] * 7, sign * 5.0)))
    assert evidence.paired.signflip().two_sided == 2 / 256
    assert evidence.paired.p_t() > 0.2
    assert greater(evidence, 0.0, None) == "undecided"
    assert equivalent(evidence, 0.05) == "undecided"


def test_the_p_of_a_prediction_decides_like_its_rule():
    for mean in (-0.3, -0.1, -0.02, 0.0, 0.02, 0.04, 0.1, 0.3):
        for sd in (0.01, 0.05, 0.2):
            evidence = around(mean, sd)
            for prediction in (
                Greater("p", "arm", **FACTS, by=0.05),
                Greater("p", "arm", **FACTS),
                NotWorse("p", "arm", **FACTS, margin=0.08),
                Equivalent("p", "arm", **FACTS, margin=0.08),
            ):
                decided = max(p_values(prediction, evidence.paired)) <= evidence.level
                assert (outcome(prediction, evidence) != "undecided") == decided


def test_the_aa_arm_holds_a_verdict_only_if_it_is_sure_and_large():
    sure = Paired(tuple(0.01 * x for x in SPREAD))
    assert sure.p_t() < 0.01
    half = abs(sure.mean)
    assert aa_holds(sure, NotWorse("p", "arm", **FACTS, margin=1.99 * half))
    assert not aa_holds(sure, NotWorse("p", "arm", **FACTS, margin=2 * half))
    assert not aa_holds(sure, NotWorse("p", "arm", **FACTS, margin=3 * half))
    unsure = Paired((-0.03, 0.05, 0.02, 0.04, -0.01, 0.06, 0.03, 0.01))
    assert 0.01 < unsure.p_t() < 0.1
    assert not aa_holds(unsure, NotWorse("p", "arm", **FACTS, margin=1e-6))


def test_without_a_margin_the_aa_arm_is_held_to_the_predicted_size():
    sure = Paired(tuple(0.01 * x for x in SPREAD))
    assert aa_holds(sure, Greater("p", "arm", **FACTS, by=0.019))
    assert not aa_holds(sure, Greater("p", "arm", **FACTS, by=0.021))
    assert not aa_holds(sure, Greater("p", "arm", **FACTS, by=0.019, margin=0.021))
    assert aa_holds(sure, Greater("p", "arm", **FACTS))
    assert not aa_holds(Paired((0.0,) * 8), Greater("p", "arm", **FACTS))
