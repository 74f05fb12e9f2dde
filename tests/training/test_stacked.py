"""Seeds trained together against the loop, one after the other: events, weights, divergence, and what is refused."""

import math
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.input_prefix import InputPrefix
from paribus.core.errors import ConfigError
from paribus.data.batch import Batch
from paribus.data.synthetic.copy_task import Copy
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.training.loop import Journal, train
from paribus.training.optimizers.base import OptimizerRecipe
from paribus.training.recipe import Recipe
from paribus.training.stacked import train_stacked

CONFIG = DecoderLM.Config(
    n_layers=2,
    d_model=16,
    mixer=GroupedQuery.Config(n_heads=4, n_kv_heads=2),
    feed_forward=FeedForward.Config(d_ff=20),
    vocab_size=8,
)
SEEDS, STEPS = (0, 1, 2), 5


class Memory(Journal):
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def event(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def rewind(self, step: int) -> None:
        del self.events[step:]


def build(seed: int, config: DecoderLM.Config = CONFIG) -> DecoderLM:
    model = config.build()
    draw(model, seed)
    return model


def batches(seed: int) -> Any:
    return Copy(vocab_size=8).prepare().batches(seed=seed, batch=4, length=13)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_each_seed_is_trained_as_if_alone(dtype):
    # A clip that acts on some steps and not on others.
    recipe = Recipe(batch=4, clip=1.5, dtype=dtype)
    stack, journals = [build(seed) for seed in SEEDS], [Memory() for _ in SEEDS]
    outcomes = train_stacked(
        stack, [batches(seed) for seed in SEEDS], recipe, learning_rate=0.01, steps=STEPS, journals=journals
    )
    # In 16 bits the two round in different places, and AdamW's first steps have the size of the rate whatever they are.
    near = {"rel": 1e-5} if dtype == "float32" else {"rel": 0.1}
    for seed, model, outcome, journal in zip(SEEDS, stack, outcomes, journals):
        alone, memory = build(seed), Memory()
        expected = train(alone, batches(seed), recipe, learning_rate=0.01, steps=STEPS, journal=memory)
        assert (outcome.steps, outcome.diverged) == (expected.steps, expected.diverged)
        assert outcome.final_loss == pytest.approx(expected.final_loss, **near)
        for one, other in zip(journal.events, memory.events, strict=True):
            assert {name: one[name] for name in ("step", "rate", "batch")} == {
                name: other[name] for name in ("step", "rate", "batch")
            }
            assert [one["loss"], one["norm"]] == pytest.approx([other["loss"], other["norm"]], **near)
        for one, other in zip(model.parameters(), alone.parameters()):
            # AdamW makes a step of the size of the rate even of a tiny gradient.
            tolerance = {"rtol": 1e-3, "atol": 1e-4} if dtype == "float32" else {"rtol": 0, "atol": 2 * 0.01 * STEPS}
            torch.testing.assert_close(one, other, **tolerance)
    assert not stack[0].training


class Follows(nn.Module):
    """Buffers that follow what is read: one in place, one assigned anew, one a count."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(8, 6), nn.Linear(6, 8)
        self.register_buffer("inside", torch.zeros(6))
        self.register_buffer("anew", torch.zeros(6))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        if self.training:
            mean = x.detach().mean((0, 1))
            self.inside.mul_(0.9).add_(0.1 * mean)
            self.anew = 0.9 * self.anew + 0.1 * mean
            self.count = self.count + 1
        return self.out(x - self.inside - 2 * self.anew)


class Grows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8, 8)
        self.register_buffer("seen", torch.zeros(0))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.seen = torch.cat([self.seen, torch.zeros(1)])
        return self.embedding(tokens)


def of_seed(seed: int, make: type[nn.Module]) -> nn.Module:
    torch.manual_seed(seed)
    return make()


def test_buffers_are_carried_from_step_to_step():
    stack = [of_seed(seed, Follows) for seed in SEEDS]
    recipe = Recipe(batch=4)
    train_stacked(stack, [batches(seed) for seed in SEEDS], recipe, learning_rate=0.01, steps=STEPS)
    for seed, model in zip(SEEDS, stack):
        alone = of_seed(seed, Follows)
        train(alone, batches(seed), recipe, learning_rate=0.01, steps=STEPS)
        assert model.count == STEPS
        assert alone.anew.abs().max() > 0.01
        for name, value in alone.named_buffers():
            torch.testing.assert_close(model.get_buffer(name), value, rtol=1e-3, atol=1e-4)
        for name, value in alone.named_parameters():
            torch.testing.assert_close(model.get_parameter(name), value, rtol=1e-3, atol=1e-4)


def test_a_buffer_that_grows_is_refused():
    with pytest.raises(ConfigError, match=r"buffer 'seen' from shape \(0,\) to \(1,\), which a stack cannot follow"):
        train_stacked([of_seed(0, Grows)], [batches(0)], Recipe(batch=4), learning_rate=0.01, steps=1)


def test_one_seed_may_diverge_alone():
    stack, journals = [build(seed) for seed in SEEDS], [Memory() for _ in SEEDS]
    with torch.no_grad():
        stack[1].embedding.weight.fill_(math.inf)
    outcomes = train_stacked(
        stack, [batches(seed) for seed in SEEDS], Recipe(batch=4), learning_rate=0.01, steps=STEPS, journals=journals
    )
    assert [outcome.diverged for outcome in outcomes] == [False, True, False]
    assert [len(journal.events) for journal in journals] == [STEPS, 1, STEPS]
    assert journals[1].events[0]["loss"] is None
    alone = build(2)
    train(alone, batches(2), Recipe(batch=4), learning_rate=0.01, steps=STEPS)
    torch.testing.assert_close(stack[2].embedding.weight, alone.embedding.weight, rtol=1e-3, atol=1e-4)


def test_a_journal_begins_anew():
    """What a run that was broken off has told is forgotten."""
    journals = [Memory() for _ in SEEDS]
    journals[1].event({"step": 0, "loss": 7.0})
    train_stacked(
        [build(seed) for seed in SEEDS],
        [batches(seed) for seed in SEEDS],
        Recipe(batch=4),
        learning_rate=0.01,
        steps=2,
        journals=journals,
    )
    assert [[event["step"] for event in journal.events] for journal in journals] == [[0, 1]] * 3


def test_other_shapes_are_refused():
    stack = [build(0), build(1, replace(CONFIG, n_layers=1))]
    with pytest.raises(ConfigError, match="different names or shapes"):
        train_stacked(stack, [batches(0), batches(1)], Recipe(batch=4), learning_rate=0.01, steps=1)


def test_one_source_for_each_model():
    with pytest.raises(ConfigError, match="2 models, 1 sources of batches and 2 journals"):
        train_stacked([build(0), build(1)], [batches(0)], Recipe(batch=4), learning_rate=0.01, steps=1)


def test_an_optimizer_that_mixes_numbers_is_refused():
    class Plain(OptimizerRecipe):
        source: ClassVar[str] = "none"

        def make(self, model: nn.Module) -> torch.optim.Optimizer:
            return torch.optim.LBFGS(model.parameters())

    with pytest.raises(ConfigError, match="LBFGS may mix"):
        train_stacked([build(0)], [batches(0)], Recipe(optimizer=Plain()), learning_rate=0.01, steps=1)


def test_an_input_that_sees_itself_is_refused():
    class Prefixed:
        def batch(self, step: int) -> Batch:
            one = batches(0).batch(step)
            return one._replace(prefix=one.tokens[:, 0])

    reading = build(0, CONFIG.with_mixer(mask=InputPrefix()))
    with pytest.raises(ConfigError, match="mask of its own"):
        train_stacked([reading], [Prefixed()], Recipe(batch=4), learning_rate=0.01, steps=1)
    train_stacked([build(0)], [Prefixed()], Recipe(batch=4), learning_rate=0.01, steps=1)  # it sees no input early
