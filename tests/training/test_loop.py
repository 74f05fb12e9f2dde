"""The loop: one event a step, the rate of the schedule, exact resume wherever it stopped, and an end to divergence."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from paribus.attention import backends, programs
from paribus.attention.grouped_query import GroupedQuery
from paribus.data.batch import IGNORED, Batch, digest_of
from paribus.data.synthetic.copy_task import Copy
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.training.checkpoint import load_progress
from paribus.training.loop import Journal, Outcome, train
from paribus.training.objective import token_loss
from paribus.training.recipe import Recipe

CONFIG = DecoderLM.Config(
    n_layers=1,
    d_model=16,
    mixer=GroupedQuery.Config(n_heads=2),
    feed_forward=FeedForward.Config(d_ff=16),
    vocab_size=8,
)
STEPS = 9


class Stopped(Exception):
    """What a kill is to the test: the run ends between two steps."""


class Memory(Journal):
    """Keeps events, and stops the run before the event of step `stop`."""

    def __init__(self, stop: int | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.flushed, self.stop = 0, stop

    def event(self, event: dict[str, Any]) -> None:
        if event["step"] == self.stop:
            raise Stopped
        self.events.append(event)

    def rewind(self, step: int) -> None:
        del self.events[step:]

    def flush(self) -> None:
        self.flushed = len(self.events)


def build(seed: int = 0) -> DecoderLM:
    model = CONFIG.build()
    draw(model, seed)
    return model


def run(
    model: nn.Module, journal: Journal, progress: Path | None = None, recipe: Recipe | None = None, **keywords: Any
) -> Outcome:
    recipe = recipe or Recipe(batch=4)
    batches = Copy(vocab_size=8).prepare().batches(seed=3, batch=recipe.batch, length=12)
    keywords = {"learning_rate": 0.01, "steps": STEPS, "every_seconds": 0.0} | keywords
    return train(model, batches, recipe, journal=journal, progress=progress, **keywords)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stops", [(1,), (2,), (STEPS - 1,), (3, 3, 7), (1, 2, 3, 4, 5, 6, 7, 8)], ids=str)
def test_resumed_runs_give_the_same_bits(stops, dtype, tmp_path):
    recipe = Recipe(batch=4, dtype=dtype)
    whole, told = build(), Memory()
    expected = run(whole, told, recipe=recipe)
    journal, progress = Memory(), tmp_path / "progress.safetensors"
    for stop in stops:
        journal.stop = stop
        with pytest.raises(Stopped):
            run(build(seed=99), journal, progress, recipe=recipe) if progress.exists() else run(
                build(), journal, progress, recipe=recipe
            )
        # What is saved never runs ahead of what the journal holds for good.
        model = build(seed=99)
        done = load_progress(model, recipe.optimizer.make(model), progress)
        assert done == journal.flushed <= stop
    journal.stop, last = None, build(seed=99)
    outcome = run(last, journal, progress, recipe=recipe)
    assert journal.events == told.events
    assert (outcome.steps, outcome.final_loss) == (expected.steps, expected.final_loss)
    for one, other in zip(whole.parameters(), last.parameters()):
        assert torch.equal(one, other)


def test_a_damaged_checkpoint_starts_anew(tmp_path):
    progress, journal = tmp_path / "progress", Memory(stop=4)
    with pytest.raises(Stopped):
        run(build(), journal, progress)
    progress.write_bytes(progress.read_bytes()[:100])
    journal.stop, told = None, Memory()
    run(build(), journal, progress)
    run(build(), told)
    assert journal.events == told.events


def test_a_run_without_checkpoints_is_the_same_run(tmp_path):
    with_them, without = Memory(), Memory()
    run(build(), with_them, tmp_path / "progress")
    run(build(), without)
    assert with_them.events == without.events
    assert with_them.flushed == STEPS - 1  # none after the last step: the result itself follows


def test_events():
    recipe, journal = Recipe(batch=4), Memory()
    outcome = run(build(), journal, recipe=recipe)
    batches = Copy(vocab_size=8).prepare().batches(seed=3, batch=4, length=12)
    assert [event["step"] for event in journal.events] == list(range(STEPS))
    assert [event["rate"] for event in journal.events] == [0.01 * recipe.schedule(k, STEPS) for k in range(STEPS)]
    assert [event["batch"] for event in journal.events] == [batches.batch(k).digest for k in range(STEPS)]
    assert all(math.isfinite(event["norm"]) and event["norm"] > 0 for event in journal.events)
    assert outcome.final_loss == journal.events[-1]["loss"]
    assert (outcome.steps, outcome.diverged) == (STEPS, False)
    assert outcome.seconds > 0


def test_the_first_step_by_hand():
    """Loss before the step, norm before clipping, then AdamW on the clipped gradient."""
    journal, model, twin = Memory(), build(), build()
    recipe = Recipe(batch=4, clip=0.01)
    run(model, journal, recipe=recipe, steps=1)
    batch = Copy(vocab_size=8).prepare().batches(seed=3, batch=4, length=12).batch(0)
    loss = token_loss(twin(torch.from_numpy(batch.tokens)), torch.from_numpy(batch.targets))
    loss.backward()
    norm = torch.stack([weight.grad.square().sum() for weight in twin.parameters()]).sum().sqrt()
    assert journal.events[0]["loss"] == pytest.approx(float(loss.detach()))
    assert journal.events[0]["norm"] == pytest.approx(float(norm), rel=1e-5)
    optimizer = recipe.optimizer.make(twin)
    for weight in twin.parameters():
        weight.grad *= 0.01 / float(norm)
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    optimizer.step()
    for one, other in zip(model.parameters(), twin.parameters()):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_it_learns():
    """Copying 2 of 7 symbols: from ln 8 to less than half of it."""
    journal, model = Memory(), build()
    batches = Copy(vocab_size=8).prepare().batches(seed=0, batch=32, length=4)
    outcome = train(model, batches, Recipe(), learning_rate=0.01, steps=200, journal=journal)
    assert journal.events[0]["loss"] == pytest.approx(math.log(8), abs=0.2)
    assert outcome.final_loss < math.log(8) / 2
    assert not model.training


@pytest.mark.parametrize("rate", [1e30, 1e38])
def test_a_diverged_run_ends_and_says_so(rate, tmp_path):
    journal = Memory()
    outcome = run(build(), journal, tmp_path / "progress", learning_rate=rate)
    assert outcome.diverged
    assert outcome.steps < STEPS
    assert journal.events[-1]["loss"] is None
    assert journal.events[-1]["norm"] is None
    assert all(math.isfinite(event["loss"]) and math.isfinite(event["norm"]) for event in journal.events[:-1])


def test_a_gradient_that_is_not_finite_is_divergence():
    """The loss is still a number, and the weights are not any more."""

    class Steep(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
            return gradients[0] * math.inf

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = build()

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return Steep.apply(self.inner(tokens))

    journal = Memory()
    outcome = run(Model(), journal)
    assert outcome.diverged
    assert math.isfinite(outcome.final_loss)
    assert [event["norm"] for event in journal.events] == [None]


def test_only_targets_that_count():
    """The loss of a prompt's answer, in nats, computed in float32 whatever the logits are."""
    logits = torch.randn(2, 5, 7, dtype=torch.float64)
    targets = torch.randint(7, (2, 5))
    targets[:, :3] = IGNORED
    expected = -logits.log_softmax(dim=-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0][:, 3:].mean()
    assert float(token_loss(logits, targets)) == pytest.approx(float(expected), rel=1e-6)
    moved = logits.clone()
    moved[:, :3] += torch.randn(2, 3, 7)
    assert torch.equal(token_loss(moved, targets), token_loss(logits, targets))
    assert token_loss(logits.bfloat16(), targets).dtype == torch.float32


def test_frozen_parameters_stay():
    model = build()
    model.embedding.weight.requires_grad_(False)
    before = model.embedding.weight.clone()
    run(model, Memory())
    assert torch.equal(model.embedding.weight, before)


def test_each_step_asks_for_its_own_batch_once():
    asked = []

    class Batches:
        def batch(self, step: int) -> Batch:
            asked.append(step)
            tokens = np.full((2, 3), step % 8)
            return Batch(tokens, tokens, digest_of(tokens))

    train(build(), Batches(), Recipe(), learning_rate=0.01, steps=5)
    assert asked == list(range(5))


def test_the_programs_of_a_run_are_kept_beside_its_checkpoint(tmp_path, monkeypatch):
    """Chosen at the first step, and the same for a run that goes on, whatever would be measured then."""
    told = {"materialised": 1.0, "fused": 2.0, "native": 3.0}
    monkeypatch.setattr(backends, "FEW", 0)
    monkeypatch.setattr(programs, "_measure", lambda ways, like: {name: told[name] for name in ways})
    monkeypatch.setattr(programs.platformdirs, "user_cache_path", lambda name: tmp_path / "nowhere" / name)
    progress, journal = tmp_path / "cell" / "progress", Memory(stop=4)
    (tmp_path / "cell").mkdir()
    with pytest.raises(Stopped):
        run(build(), journal, progress)
    (shape,) = json.loads((tmp_path / "cell" / "programs.json").read_text())["shapes"].values()
    assert shape == {name: told[name] for name in shape}
    assert shape.keys() >= {"materialised", "fused"}
    told |= {"materialised": 3.0}
    (tmp_path / "nowhere" / "paribus" / "programs.json").unlink()
    journal.stop, whole = None, Memory()
    run(build(99), journal, progress)
    told |= {"materialised": 1.0}
    (tmp_path / "other").mkdir()
    run(build(), whole, tmp_path / "other" / "progress")
    assert journal.events == whole.events


# The compiler looks at .grad of what it goes on from after a break.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.slow
def test_a_compiled_run_is_the_same_run(tmp_path):
    """To rounding what it is without a compiler, and bit by bit after a stop. This backend only traces."""
    plain, compiled, resumed = Memory(), Memory(), Memory(stop=2)
    run(build(), plain, steps=4)
    run(build(), compiled, steps=4, compiler="aot_eager")
    for one, other in zip(plain.events, compiled.events, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["norm"] == pytest.approx(other["norm"], rel=1e-3)
    with pytest.raises(Stopped):
        run(build(), resumed, tmp_path / "progress", steps=4, compiler="aot_eager")
    resumed.stop = None
    run(build(99), resumed, tmp_path / "progress", steps=4, compiler="aot_eager")
    assert resumed.events == compiled.events
