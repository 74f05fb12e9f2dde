from collections.abc import Callable
from dataclasses import replace

import pytest

from paribus.lab.predictions import Equivalent, Greater, NotWorse, Prediction
from paribus.lab.record import Record
from paribus.lab.report import words
from paribus.lab.report.quantity import Quantity
from paribus.lab.verdict import Measure, Outcome, judge

LOSS = Quantity("loss", "nats", lower_is_better=True)
GIVEN = {"than": "b", "metric": "loss", "provenance": "blind", "dated": "2026-11-22"}


def judged(prediction: Prediction, differences: list[float]) -> Outcome:
    results = {"a": {}, "b": {}}
    for seed, d in enumerate(differences):
        results["a"][seed], results["b"][seed] = {"loss": 2.0 - d}, {"loss": 2.0}
    return judge([prediction], prediction.id, results, {"loss": Measure("nats", True)}).headline


def around(mean: float, n: int = 8) -> list[float]:
    return [mean + 0.001 * (seed - (n - 1) / 2) for seed in range(n)]


@pytest.mark.parametrize(
    ("prediction", "mean", "word", "said"),
    [
        (Greater("p", "a", by=0.1, **GIVEN), 0.2, "reproduced", "that a is better than b by more than 0.1 nats"),
        (Greater("p", "a", by=0.1, **GIVEN), 0.05, "contradicted", "that a is not better than b by more than 0.1 nats"),
        (Greater("p", "a", **GIVEN), -0.2, "contradicted", "that a is worse than b"),
        (Greater("p", "a", by=0.1, margin=0.02, **GIVEN), 0.0, "equivalent", "differ by less than 0.02 nats"),
        (NotWorse("p", "a", margin=0.1, **GIVEN), 0.0, "reproduced", "may lose against b is less than 0.1 nats"),
        (NotWorse("p", "a", margin=0.1, **GIVEN), -0.2, "contradicted", "that a is worse than b by more than 0.1 nats"),
        (Equivalent("p", "a", margin=0.1, **GIVEN), 0.0, "reproduced", "that a and b differ by less than 0.1 nats"),
        (Equivalent("p", "a", margin=0.1, **GIVEN), 0.3, "contradicted", "that a and b differ by more than 0.1 nats"),
    ],
)
def test_each_word_says_what_was_shown(prediction: Prediction, mean: float, word: str, said: str) -> None:
    outcome = judged(prediction, around(mean))
    assert outcome.word == word
    told = words.meaning(outcome, LOSS, smoke=False)
    assert said in told
    assert told.startswith(f"“{word.capitalize()}” means")


def test_undecided_gives_its_reason_and_the_pairs_it_needs() -> None:
    outcome = judged(Greater("p", "a", margin=0.05, **GIVEN), [0.1, -0.1, 0.05, -0.06, 0.02, 0.01, -0.03, 0.04])
    told = words.meaning(outcome, LOSS, smoke=False)
    assert outcome.word == "undecided"
    assert "reaches over the border" in told
    assert f"About {outcome.seeds_needed} pairs" in told


def test_reasons_leave_their_numbers_to_the_table() -> None:
    outcome = judged(Greater("p", "a", **GIVEN), around(0.2))
    assert words.reason(outcome) == "the adjusted 95 % interval and the sign-flip test agree"
    held = replace(outcome, reason="held: two runs of the same arm differ by +1.2e-05 on average (p = 0.001), which is")
    assert words.reason(held) == "held: two runs of the same arm differ, which is"


def test_lower_is_better_is_told_the_right_way_round(make: Callable[..., Record]) -> None:
    record = make(seeds=4)
    outcome = judged(Greater("p", "a", **GIVEN), around(-0.2))
    told = words.result(record, outcome)
    assert told.startswith("In loss, b was better than a by 0.2")
    assert "the difference is +0.1980 to +0.2020 nats" in told, "the interval is that of b over a, as the sentence is"


def test_the_command_repeats_seeds_that_were_asked_for(make: Callable[..., Record]) -> None:
    assert words.command(make(seeds=8).plan) == "paribus check rerope --profile laptop"
    assert words.command(make(seeds=9).plan) == "paribus check rerope --profile laptop --seeds 9"
