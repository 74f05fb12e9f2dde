"""One step of a user's model says what training it would come to, before anything is spent."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from paribus.core.errors import ConfigError
from paribus.lab.claim import Arm
from paribus.models.any_module import AnyModule
from paribus.quantizers.ema import EMA


class Net(nn.Module):
    """A plain one, with dropout and a count of its steps: neither follows what is read."""

    def __init__(self, d=6):
        super().__init__()
        self.embedding, self.drop, self.out = nn.Embedding(8, d), nn.Dropout(0.5), nn.Linear(d, 8)
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("unknown", torch.tensor(math.nan))

    def forward(self, tokens):
        self.steps += self.training
        return self.out(self.drop(self.within(self.embedding(tokens))))

    def within(self, x):
        return x


class Normed(Net):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def within(self, x):
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


class Centred(Net):
    """By a statistic of the batch that no buffer keeps."""

    def within(self, x):
        return x - x.mean(0) if self.training else x


class Anew(Net):
    """A running mean that is assigned anew."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(6))

    def within(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean((0, 1))
        return x


class Quantised(Net):
    """The package's own quantizer takes its sums over all processes."""

    def __init__(self):
        super().__init__()
        self.codes = EMA.Config(n_codes=4, width=6).build()

    def within(self, x):
        return self.codes(x.unsqueeze(1)).vectors.squeeze(1)


class Detached(Net):
    def forward(self, tokens):
        return super().forward(tokens).detach()


class Frozen(Net):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)


class Growing(Net):
    def within(self, x):
        if self.training:
            self.register_buffer("last", x.detach().mean((0, 1)))
        return x


class Failing(Net):
    def within(self, x):
        if self.training:
            raise RuntimeError("no way\nto train")
        return x


class Lazy(Net):
    def __init__(self):
        super().__init__()
        self.out = nn.LazyLinear(8)


class LazyButCalled(Lazy):
    def __init__(self):
        super().__init__()
        self(torch.zeros((1, 3), dtype=torch.int64))


def plan_of(laboratory, make, processes=1, match="none"):
    base = laboratory.claim
    arms = [base.arms[0], Arm("none", AnyModule.Config(make=make))]
    profiles = {"laptop": replace(base.profiles["laptop"], processes=processes)}
    return laboratory.plan(replace(base, arms=arms, profiles=profiles, task=replace(base.task, match=match)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Detached, "arm 'none' cannot be trained: its logits lead back to no parameter.*detach"),
        (Frozen, "arm 'none' cannot be trained: .*all frozen"),
        (Growing, "arm 'none' changes what it consists of.*'module.last' has the shape None before.*in __init__"),
        (
            Failing,
            r"arm 'none' fails in training mode on tokens \(2, 12\) \(.*test_one_step.py:\d+\): RuntimeError: no",
        ),
        (Lazy, "arm 'none' against 'rotary': 'module.out.weight', .* has no shape before the first forward.*nn.Linear"),
    ],
)
def test_what_cannot_be_trained(laboratory, make, words):
    with pytest.raises(ConfigError, match=words):
        plan_of(laboratory, make)


@pytest.mark.parametrize("make", [Net, Normed, Centred, Anew, Quantised, LazyButCalled])
def test_what_can(laboratory, make):
    """And looking leaves the generators of random numbers as they were."""
    before = torch.random.get_rng_state()
    assert plan_of(laboratory, make).sized["none"].n_parameters > 0
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Normed, "'module.norm.running_mean', 'module.norm.running_var' follow what is read"),
        (Centred, "the logits of a row follow the other rows of its batch"),
        (Anew, "'module.mean' follow what is read"),
    ],
)
def test_what_several_processes_would_train_otherwise(laboratory, make, words):
    with pytest.raises(ConfigError, match=f"arm 'none' cannot be trained by processes = 2: {words}.*processes = 1"):
        plan_of(laboratory, make, processes=2)


@pytest.mark.parametrize("make", [Net, Quantised])
def test_what_several_processes_train_alike(laboratory, make):
    assert plan_of(laboratory, make, processes=2).profile.processes == 2
