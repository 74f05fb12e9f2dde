"""A claim that cannot be run, or cannot fail, is refused when it is written."""

from dataclasses import replace
from functools import partial, wraps
from types import SimpleNamespace

import pytest

from paribus.core.errors import ConfigError
from paribus.lab.claim import Arm, Budget, Measured, Profile, defined_in
from paribus.lab.predictions import Greater
from paribus.losses.output.cross_entropy import CrossEntropy


@pytest.fixture
def claim(laboratory):
    return laboratory.claim


def refused(words, change):
    with pytest.raises(ConfigError) as caught:
        change()
    for word in words:
        assert word in str(caught.value)


def test_arms_refer_to_arms_that_are_trained_from_scratch(claim):
    rotary, none = claim.arms
    config = rotary.config
    refused(["no arm", "did you mean rotary"], lambda: replace(claim, arms=[rotary, Arm("r", config, reads="rotry")]))
    chain = [rotary, none, Arm("r", config, reads="rotary"), Arm("rr", config, reads="r")]
    refused(["'rr' reads 'r'", "not trained from scratch"], lambda: replace(claim, arms=chain))
    tuned = [rotary, none, Arm("t", config, starts_from="rotary"), Arm("tt", config, starts_from="t")]
    refused(["'tt' starts_from 't'"], lambda: replace(claim, arms=tuned))
    refused(["both reads 'a' and starts from 'b'"], lambda: Arm("x", config, reads="a", starts_from="b"))
    refused(["'x' reads 'a'", "leave the loss away"], lambda: Arm("x", config, reads="a", loss=CrossEntropy()))
    refused(["two arms of one name"], lambda: replace(claim, arms=[rotary, rotary]))
    refused(["at least one arm"], lambda: replace(claim, arms=[]))


def test_predictions_speak_of_what_there_is(claim):
    nobody = replace(claim.predicts[0], than="non")
    refused(["no arm 'non'", "did you mean none"], lambda: replace(claim, predicts=[nobody]))
    wrong = replace(claim.predicts[0], metric="loss@21")
    refused(["no metric 'loss@21'", "loss@12"], lambda: replace(claim, predicts=[wrong]))
    refused(["primary = 'help'", "did you mean helps"], lambda: replace(claim, primary="help"))
    refused(["able to fail"], lambda: replace(claim, predicts=[]))
    refused(["two predictions of one id"], lambda: replace(claim, predicts=[claim.predicts[0]] * 2))


def test_profiles(claim):
    laptop = claim.profiles["laptop"]
    refused(["no profile 'gpu'", "smoke, laptop, tuned, long"], lambda: claim.profile("gpu"))
    refused(["needs a budget"], lambda: replace(claim, profiles={"laptop": replace(laptop, budget=None)}))
    refused(["learning rate"], lambda: replace(claim, profiles={"laptop": replace(laptop, learning_rates=())}))
    refused(["no prediction 'x'"], lambda: replace(claim, profiles={"laptop": replace(laptop, margins={"x": 0.1})}))
    refused(["at least one"], lambda: replace(claim, profiles={}))
    refused(["fresh seeds"], lambda: replace(laptop, seeds=(3, 1001)))
    refused(["twice"], lambda: replace(laptop, seeds=(3, 3)))
    refused(["not positive"], lambda: replace(laptop, learning_rates=(1e-3, 0.0)))
    refused(["share in (0, 1]"], lambda: replace(laptop, tuning_fraction=1.5))
    refused(["tokens = 0"], lambda: Budget(tokens=0))
    refused(["Profile.device"], lambda: Profile(seeds=(0,), device="tpu"))


def measure(config, replicate):
    return {"x": 0.0}


def enclosing(number):
    def inner(config, replicate):
        return {"x": number}

    return inner


@wraps(measure)
def wrapped(config, replicate):
    return {"x": 1.0}


class Asked:
    def __init__(self, number):
        self.number = number

    def __call__(self, config, replicate):
        return {"x": self.number}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda config, replicate: {"x": 5.0}, "function at the top of a file"),
        (enclosing(5), "function at the top of a file"),
        (wrapped, "function at the top of a file"),
        (partial(measure, replicate=5), "put them into the arms' configs"),
        (Asked(5), "put them into the arms' configs"),
    ],
)
def test_a_measure_that_may_enclose_numbers_is_refused(given, words):
    refused([words], lambda: Measured(measure=given, unit="draw", units={"x": "s"}))


def test_a_measured_task_names_its_metrics(claim):
    refused(["at least one metric"], lambda: Measured(measure=measure, unit="draw", units={}))
    task = Measured(measure=measure, unit="draw", units={"x": "s"})
    told = {"provenance": "blind", "dated": "2026-11-22"}
    profiles = {"laptop": Profile(seeds=range(6))}
    predicts = [Greater("helps", "rotary", than="none", metric="y", **told)]
    refused(["no metric 'y'"], lambda: replace(claim, task=task, profiles=profiles, predicts=predicts))
    predicts = [Greater("helps", "rotary", than="none", metric="x", **told)]
    assert replace(claim, task=task, profiles=profiles, predicts=predicts).profile("laptop").budget is None


def test_a_file_has_one_claim_of_that_name(claim):
    assert defined_in(SimpleNamespace(claim=claim)) is claim
    refused(["rename one to `claim`", "mine"], lambda: defined_in(SimpleNamespace(__file__="x.py", mine=claim)))
    refused(["x.py has no `claim`", "claim = Claim(...)"], lambda: defined_in(SimpleNamespace(__file__="x.py")))
