import json
import math
import re

import pytest

from paribus.core.errors import ConfigError
from paribus.lab import power
from paribus.lab.predictions import Equivalent, Greater, NotWorse
from paribus.lab.statistics import Paired
from paribus.lab.verdict import Measure, judge

FACTS = {"than": "plain", "metric": "accuracy@512", "provenance": "blind", "dated": "2026-11-22"}
MEASURES = {"accuracy@512": Measure("share of tokens"), "loss@512": Measure("nats per token", lower_is_better=True)}
SCATTER = (0.011, -0.004, 0.006, 0.002, -0.009, 0.003, -0.007, 0.001)
BIASED = Paired(tuple(0.02 + x for x in SCATTER))


def results(**arms):
    """arm=mean, or arm=[values]: eight seeds with a common scatter."""
    table = {}
    for arm, values in arms.items():
        listed = [values + x for x in SCATTER] if isinstance(values, float) else values
        table[arm] = {seed: {"accuracy@512": x, "loss@512": 3 - x} for seed, x in enumerate(listed)}
    return table


def spread(mean):
    return [mean + x for x in reversed(SCATTER)]


LONGER = Greater("longer", "new", **FACTS, by=0.05)
KEEPS = NotWorse("keeps", "new", **FACTS, margin=0.02)
SAME = Equivalent("same", "new", **FACTS, margin=0.02)


def test_the_entries_are_those_of_the_contract():
    verdict = judge([LONGER, KEEPS, SAME], "longer", results(new=spread(0.5), plain=0.3), MEASURES)
    entries = json.loads(json.dumps(verdict.entries(), allow_nan=False))
    assert [list(entry) for entry in entries] == [
        [
            *("id", "kind", "arm", "than", "by", "margin", "metric", "unit", "n", "estimate", "ci95"),
            *("p_t", "p_signflip", "p_holm", "outcome", "seeds_needed", "provenance"),
        ]
    ] * 3
    longer, keeps, same = entries
    assert (longer["kind"], keeps["kind"], same["kind"]) == ("Greater", "NotWorse", "Equivalent")
    assert (longer["by"], longer["margin"], longer["n"]) == (0.05, None, 8)
    assert (keeps["by"], keeps["margin"]) == (None, 0.02)
    assert longer["unit"] == "share of tokens"
    assert longer["estimate"] == pytest.approx(0.2)
    assert longer["ci95"][0] < 0.2 < longer["ci95"][1]
    assert [entry["outcome"] for entry in entries] == ["reproduced", "reproduced", "contradicted"]
    assert longer["p_signflip"] == 2 / 256
    assert longer["p_holm"] == pytest.approx(3 * 2 / 256)


@pytest.mark.parametrize(
    ("new", "margin", "word", "code"),
    [
        (0.5, 0.1, "reproduced", 0),
        (0.2, 0.02, "contradicted", 10),
        (0.31, 0.04, "equivalent", 11),
        (0.35, 0.02, "undecided", 12),
    ],
)
def test_the_claims_word_and_exit_code_are_the_primarys(new, margin, word, code):
    predictions = [LONGER.with_margin(margin), KEEPS]
    verdict = judge(predictions, "longer", results(new=spread(new), plain=0.3), MEASURES)
    assert (verdict.word, verdict.exit_code) == (word, code)
    assert verdict.headline.prediction.id == "longer"
    kept = judge(predictions, "keeps", results(new=spread(0.5), plain=0.3), MEASURES)
    assert (kept.word, kept.exit_code) == ("reproduced", 0)


def test_a_smoke_run_gives_no_verdict():
    verdict = judge([LONGER, KEEPS], "longer", results(new=spread(0.5), plain=0.3), MEASURES, smoke=True)
    assert (verdict.word, verdict.exit_code) == ("undecided (smoke)", 12)
    assert {entry["outcome"] for entry in verdict.entries()} == {"undecided (smoke)"}
    single = judge([LONGER], "longer", results(new=[0.5], plain=[0.3]), MEASURES, smoke=True)
    entry = json.loads(json.dumps(single.entries()[0], allow_nan=False))
    assert entry["ci95"] == [None, None]
    assert entry["seeds_needed"] is None
    assert judge([LONGER], "longer", results(new=[0.5], plain=[0.3]), MEASURES).word == "undecided"


def test_where_lower_is_better_less_is_more():
    on_loss = Greater("loss", "new", **(FACTS | {"metric": "loss@512"}), by=0.05)
    verdict = judge([LONGER, on_loss], "loss", results(new=spread(0.5), plain=0.3), MEASURES)
    accuracy, loss = verdict.entries()
    assert loss["estimate"] == pytest.approx(accuracy["estimate"])
    assert loss["outcome"] == "reproduced"
    worse = judge([on_loss], "loss", results(new=spread(0.1), plain=0.3), MEASURES)
    assert worse.word == "contradicted"


def test_readers_of_the_same_weights_at_one_length_are_equal():
    """d = 0 exactly: not worse, equivalent, and not greater."""
    first = Greater("first", "new", **FACTS)
    some = Greater("some", "new", **FACTS, by=0.01)
    verdict = judge([first, some, KEEPS, SAME], "keeps", results(new=0.3, plain=0.3), MEASURES)
    assert [outcome.word for outcome in verdict.outcomes] == ["undecided", "contradicted", "reproduced", "reproduced"]
    assert verdict.outcomes[0].entry()["ci95"] == [0.0, 0.0]
    assert verdict.outcomes[0].p_t == verdict.outcomes[0].p_signflip == 1.0
    assert verdict.outcomes[0].seeds_needed is None


@pytest.mark.parametrize(("comparisons", "word"), [(6, "reproduced"), (7, "undecided")])
def test_with_eight_seeds_at_most_six_comparisons_can_reject(comparisons, word):
    many = [Greater(f"p{i}", "new", **FACTS) for i in range(comparisons)]
    verdict = judge(many, "p0", results(new=spread(0.5), plain=0.3), MEASURES)
    assert {outcome.word for outcome in verdict.outcomes} == {word}


def test_comparisons_share_the_error():
    """A difference that is enough alone is not enough beside three without any."""
    small = Greater("small", "new", **FACTS)
    nothing = [Greater(f"nothing{i}", f"other{i}", **FACTS) for i in range(3)]
    table = results(new=spread(0.306), other0=spread(0.3), other1=spread(0.299), other2=spread(0.301), plain=[0.3] * 8)
    alone = judge([small], "small", table, MEASURES)
    together = judge([small, *nothing], "small", table, MEASURES)
    assert alone.word == "reproduced"
    assert together.word == "undecided"
    assert together.headline.adjusted.level == 0.05 / 4
    assert together.headline.adjusted.p > 0.05 > together.headline.p_t
    assert together.headline.evidence.ci95[0] < 0 < alone.headline.evidence.ci95[0]


def test_the_order_of_cells_does_not_matter():
    table = results(new=spread(0.36), plain=0.3)
    shuffled = {arm: dict(reversed(cells.items())) for arm, cells in table.items() if arm == "plain"}
    assert judge([LONGER], "longer", table, MEASURES).entries() == (
        judge([LONGER], "longer", table | shuffled, MEASURES).entries()
    )


def test_a_diverged_run_is_counted():
    """The cap comes in as a value like any other; the huge difference widens the interval and nothing is dropped."""
    fine, capped = spread(0.5), [*spread(0.5)[:7], 0.0]
    assert judge([LONGER], "longer", results(new=fine, plain=0.3), MEASURES).word == "reproduced"
    verdict = judge([LONGER], "longer", results(new=capped, plain=0.3), MEASURES)
    assert verdict.headline.paired.n == 8
    assert verdict.word == "undecided"


def test_the_aa_arm_holds_a_verdict():
    table = results(new=spread(0.5), plain=0.3)
    held = judge([LONGER.with_margin(0.02), KEEPS], "longer", table, MEASURES, noise={"longer": BIASED})
    assert held.word == "undecided"
    assert held.headline.held
    assert held.headline.seeds_needed is None
    assert "two runs of the same arm differ by +0.0204" in held.headline.reason
    assert held.outcomes[1].word == "reproduced"
    small = judge([LONGER.with_margin(0.05)], "longer", table, MEASURES, noise={"longer": BIASED})
    assert small.word == "reproduced"
    quiet = judge([LONGER.with_margin(0.02)], "longer", table, MEASURES, noise={"longer": Paired(SCATTER)})
    assert quiet.word == "reproduced"


def test_an_undecided_prediction_says_how_many_seeds_would_do():
    table = results(new=spread(0.305), plain=0.3)
    wide = judge([KEEPS.with_margin(0.01)], "keeps", table, MEASURES).headline
    narrow = judge([KEEPS.with_margin(0.001)], "keeps", results(new=spread(0.3), plain=0.3), MEASURES).headline
    assert wide.word == "reproduced"
    assert wide.seeds_needed is None
    assert narrow.word == "undecided"
    # (1.96 + 0.84)^2 (sd / margin)^2, with the sd 0.0085 of these differences
    assert narrow.seeds_needed == pytest.approx(7.85 * (narrow.paired.sd / 0.001) ** 2, rel=0.02)
    same = judge([SAME.with_margin(0.001)], "same", results(new=spread(0.3), plain=0.3), MEASURES).headline
    assert same.seeds_needed > narrow.seeds_needed
    as_estimated = judge([Greater("some", "new", **FACTS)], "some", results(new=spread(0.302), plain=0.3), MEASURES)
    expected = 7.85 * (as_estimated.headline.paired.sd / as_estimated.headline.paired.mean) ** 2
    assert as_estimated.headline.seeds_needed == pytest.approx(expected, rel=0.1)
    # Beyond a predicted size, what counts is the distance from it.
    shifted = judge([LONGER], "longer", results(new=spread(0.352), plain=0.3), MEASURES).headline
    assert shifted.seeds_needed == as_estimated.headline.seeds_needed
    # Where the estimate is far beyond the margin, few seeds are missing: those that the sign-flip test needs.
    four = results(new=spread(0.4)[:4], plain=[0.3] * 4)
    few = judge([LONGER.with_margin(0.001)], "longer", four, MEASURES).headline
    assert few.word == "undecided"
    assert few.seeds_needed == power.fewest_seeds()


@pytest.mark.parametrize(
    ("new", "plain", "words"),
    [
        (spread(0.5), spread(0.3), "and the sign-flip test agree"),
        (spread(0.352), 0.3, "reaches over the border"),
        ([0.5] * 5, [0.3] * 5, r"decides, the sign-flip test \(p = 0.062\) does not"),
        ([0.36] * 7 + [5.0], 0.3, "the sign-flip test decides"),
    ],
)
def test_the_reason_says_which_test_decided(new, plain, words):
    assert re.search(words, judge([LONGER], "longer", results(new=new, plain=plain), MEASURES).headline.reason)


def changed(arm, seed, value):
    table = results(new=spread(0.5), plain=0.3)
    table[arm][seed]["accuracy@512"] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (changed("new", 3, math.nan), r"arm 'new', replicate 3: accuracy@512 = nan, expected a finite number"),
        (changed("plain", 0, math.inf), r"arm 'plain', replicate 0: accuracy@512 = inf"),
        (results(new=[0.5] * 8, plain=[0.3] * 6), r"8 results of 'new' against 6 of 'plain'; replicates \[6, 7\] have"),
        (results(new=[], plain=[]), "at least one pair"),
        (results(knew=0.5, plain=0.3), "no results of arm 'new'; did you mean knew"),
        ({"new": {0: {}}, "plain": {0: {}}}, "the cell has no metric 'accuracy@512'"),
    ],
)
def test_results_that_cannot_be_judged_are_named(table, message):
    with pytest.raises(ConfigError, match=message):
        judge([LONGER], "longer", table, MEASURES)


def test_a_claim_that_cannot_be_judged_is_named():
    table = results(new=spread(0.5), plain=0.3)
    with pytest.raises(ConfigError, match="primary 'loner' is no prediction of the claim; did you mean longer"):
        judge([LONGER], "loner", table, MEASURES)
    with pytest.raises(ConfigError, match="two have the same id"):
        judge([LONGER, LONGER], "longer", table, MEASURES)
    with pytest.raises(ConfigError, match="unknown metric 'accuracy@512'"):
        judge([LONGER], "longer", table, {"accuracy@51": Measure("1")})
