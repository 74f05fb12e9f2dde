"""Two changes, four arms: contrasts, what they are called, and what the verdict makes of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.core.config import from_dict, to_dict
from paribus.core.errors import ConfigError
from paribus.lab import power
from paribus.lab.claim import Arm
from paribus.lab.combinations import Added, Combination, MeanOf, contrast
from paribus.lab.factorial import two_by_two
from paribus.lab.predictions import Equivalent, Greater, Prediction
from paribus.lab.verdict import Measure, judge, pair, twins
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary

FACTS = {"metric": "score", "provenance": "blind", "dated": "2026-11-22"}
ADDED = Added("a", "b", "neither")
SYNERGY = Greater("synergy", "both", than=ADDED, **FACTS)
EFFECT = Greater("effect", MeanOf(("a", "both"), called="with a"), than=MeanOf(("neither", "b")), **FACTS)
HIGH, LOW = {"score": Measure("1")}, {"score": Measure("1", lower_is_better=True)}
NAMES = ("neither", "a", "b", "both")


def results(table):
    """arm -> replicate -> metric, from rows (neither, a, b, both) of replicates."""
    return {name: {s: {"score": float(row[i])} for s, row in enumerate(table)} for i, name in enumerate(NAMES)}


def test_the_contrasts_are_those_of_the_textbook():
    assert contrast(SYNERGY.arm, SYNERGY.than) == {"both": 1, "a": -1, "b": -1, "neither": 1}
    assert contrast(EFFECT.arm, EFFECT.than) == {"a": 0.5, "both": 0.5, "neither": -0.5, "b": -0.5}
    assert contrast("a", MeanOf(("a", "b"))) == {"a": 0.5, "b": -0.5}
    assert contrast("a", "b") == {"a": 1, "b": -1}


@given(st.lists(st.tuples(*[st.floats(-9, 9)] * 4), min_size=2, max_size=9), st.booleans())
def test_differences_seed_by_seed(table, lower):
    sign = -1 if lower else 1
    found = pair(SYNERGY, results(table), LOW if lower else HIGH).values
    assert found == pytest.approx([sign * ((ab - a) - (b - one)) for one, a, b, ab in table], abs=1e-12)
    found = pair(EFFECT, results(table), LOW if lower else HIGH).values
    assert found == pytest.approx([sign * ((ab - b) + (a - one)) / 2 for one, a, b, ab in table], abs=1e-12)


def test_effects_that_add_up_exactly_have_no_interaction_but_rounding():
    random = np.random.default_rng(0)
    one, a, b = 3 + random.standard_normal((3, 8))
    found = pair(SYNERGY, results(np.stack([one, a, b, a + b - one], axis=1)), HIGH)
    assert (found.sd, found.signflip().two_sided) == (0, 1)


def test_sentences():
    assert SYNERGY.sentence() == "both is better than a and b added up in score"
    assert EFFECT.sentence() == "with a is better than the mean of neither and b in score"
    assert Equivalent("e", "both", than=ADDED, margin=0.1, **FACTS).sides == ("both", "a and b added up")


def test_combinations_are_saved_and_read_back():
    for one in (SYNERGY, EFFECT):
        assert from_dict(Prediction, to_dict(one)) == one
    assert from_dict(Combination, to_dict(ADDED)) == ADDED
    assert to_dict(Greater("x", "a", than="b", **FACTS))["than"] == "b"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Added("a", "a", "b"), "expected three different arms"),
        (lambda: MeanOf(("a",)), "expected two arms or more, each once"),
        (lambda: MeanOf(("a", "a")), "expected two arms or more, each once"),
        (lambda: Greater("x", MeanOf(("a", "b")), than=MeanOf(("b", "a")), **FACTS), "with itself"),
    ],
)
def test_combinations_that_say_nothing(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_twins_are_weighed_by_the_contrast():
    control = {s: {"score": 1.0} for s in range(3)}
    twin = {s: {"score": 1.0 + s} for s in range(3)}
    simple = Greater("x", "a", than="b", **FACTS)
    assert twins(simple, control, twin, HIGH).values == (0, 1, 2)
    assert twins(simple, control, twin, LOW).values == (0, -1, -2)
    assert twins(SYNERGY, control, twin, HIGH).values == (0, 2, 4)
    assert twins(EFFECT, control, twin, HIGH).values == (0, 1, 2)


def simulated(seed, claims, n, interaction, effect=0.7):
    """Tables of four arms whose seeds share a part, with noise of sd 0.5 an arm: sd 1 of the interaction."""
    random = np.random.default_rng(seed)
    shared = random.standard_normal((claims, n, 1)) * 2
    means = np.array([0, effect, 0.3, effect + 0.3 + interaction])
    return shared + 0.5 * random.standard_normal((claims, n, 4)) + means


def judged(predictions, tables):
    return [judge(predictions, predictions[0].id, results(table), HIGH) for table in tables]


def test_an_interaction_under_the_null():
    """Large main effects and shared seeds do not pass for an interaction."""
    claims = 1_000
    found = [verdict.word for verdict in judged([SYNERGY], simulated(11, claims, 8, 0.0))]
    wrong = sum(word != "undecided" for word in found) / claims
    assert 0.03 <= wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / claims)


def test_both_are_shared_out_by_holm():
    """No effect and no interaction: a false word about either in at most 5 % of claims."""
    claims = 1_000
    verdicts = judged([SYNERGY, EFFECT], simulated(12, claims, 8, 0.0, effect=0.0))
    wrong = sum(any(one.word != "undecided" for one in verdict.outcomes) for verdict in verdicts) / claims
    assert 0.015 <= wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / claims)


@pytest.mark.parametrize("n", [8, 12])
def test_the_power_of_an_interaction_is_what_the_plan_says(n):
    claims, size = 500, 1.2
    found = [verdict.word for verdict in judged([SYNERGY], simulated(13, claims, n, size))]
    promised = power.power(n, size, sd=1.0)
    assert abs(found.count("reproduced") / claims - promised) < 3 * math.sqrt(0.25 / claims) + 0.01
    assert found.count("contradicted") == 0


def test_equivalence_is_no_interaction():
    claims = 300
    prediction = Equivalent("none", "both", than=ADDED, margin=1.5, **FACTS)
    found = [verdict.word for verdict in judged([prediction], simulated(14, claims, 8, 0.0))]
    promised = power.equivalence_power(8, 1.5, 1.0)
    assert abs(found.count("reproduced") / claims - promised) < 3 * math.sqrt(0.25 / claims) + 0.01


def test_the_entry_in_verdict_json():
    table = simulated(15, 1, 8, 3.0)[0]
    told = judge([SYNERGY, Greater("x", "a", than="b", **FACTS)], "synergy", results(table), HIGH).entries()
    assert (told[0]["arm"], told[0]["than"]) == ("both", "a and b added up")
    assert told[0]["contrast"] == {"both": 1.0, "a": -1.0, "b": -1.0, "neither": 1.0}
    assert "contrast" not in told[1]


def square_of(claim, **changes):
    rotary = claim.arms[0]
    far = ("far", lambda config: config.with_mixer(position=Rotary(base=100.0)))
    tied = ("untied", lambda config: replace(config, tie_embeddings=False))
    return two_by_two(rotary, tied, far, **changes)


def test_four_arms_of_two_changes(laboratory):
    square = square_of(laboratory.claim)
    assert [arm.name for arm in square.arms] == ["rotary", "untied", "far", "untied + far"]
    both = square.arms[3].config
    assert (both.tie_embeddings, both.mixer.position.base) == (False, 100.0)
    assert contrast(square.both, square.added) == {"untied + far": 1, "untied": -1, "far": -1, "rotary": 1}
    assert contrast(square.with_second, square.without_second)["untied"] == -0.5
    assert square.with_first.called == "with untied"
    assert square.without_first.arms == ("rotary", "far")


@pytest.mark.parametrize("reads", [False, True])
def test_a_two_by_two_from_arms_to_verdict(laboratory, reads):
    """With a second change that only reads, half of the trainings are saved."""
    base = laboratory.claim
    square = square_of(base, second_reads=reads)
    told = {"metric": "loss@12", "provenance": "blind", "dated": "2026-11-22"}
    claim = replace(
        base,
        arms=square.arms,
        task=replace(base.task, match="none"),
        primary="synergy",
        predicts=[
            Greater("synergy", square.both, than=square.added, **told),
            Greater("untied", square.with_first, than=square.without_first, **told),
            Greater("far", square.second, than=square.neither, **told),
        ],
    )
    plan = laboratory.plan(claim)
    assert plan.control.name == "rotary"
    record, computed = laboratory.run(plan)
    trainings = [cell for cell in computed if cell.kind == "train" and cell.phase != "aa"]
    assert len(trainings) == (4 if reads else 8)
    assert set(record.noise) == ({"synergy", "untied"} if reads else {"synergy", "untied", "far"})
    loss = {arm: [m["loss@12"] for m in seeds.values()] for arm, seeds in record.results.items()}
    expected = [
        -((ab - a) - (b - one))
        for one, a, b, ab in zip(loss["rotary"], loss["untied"], loss["far"], loss["untied + far"])
    ]
    assert record.verdict.headline.paired.values == pytest.approx(expected, abs=1e-12)
    assert record.verdict_json()["predictions"][0]["than"] == "untied and far added up"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (("a", lambda c: c), ("b", lambda c: replace(c, d_model=32)), "the change 'a' changes nothing"),
        (("a", lambda c: c.with_d_ff(8)), ("a", lambda c: c.with_d_ff(4)), "two changes of one name"),
        (("a", lambda c: c.with_d_ff(8)), ("b", lambda c: c.with_d_ff(4)), "is another model than 'b' and then 'a'"),
    ],
)
def test_changes_that_make_no_square(laboratory, first, second, words):
    with pytest.raises(ConfigError, match=words):
        two_by_two(laboratory.claim.arms[0], first, second)


def test_an_arm_that_reads_is_no_corner(laboratory):
    config = laboratory.claim.arms[0].config
    reader = Arm("reader", config.with_mixer(position=Rotary(map=ReRoPE(window=4))), reads="rotary")
    change = ("a", lambda c: c.with_d_ff(8))
    with pytest.raises(ConfigError, match="must be trained from scratch"):
        two_by_two(reader, change, change)
