"""A run in pieces is the run in one: weights, optimizer, events, bit by bit."""

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import ConfigError
from paribus.data.synthetic.copy_task import Copy
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.models.weights import weights
from paribus.training.loop import Journal, train
from paribus.training.recipe import Recipe
from paribus.training.schedules.warmup_hold_decay import WarmupHoldDecay

CONFIG = DecoderLM.Config(
    n_layers=2,
    d_model=16,
    mixer=GroupedQuery.Config(n_heads=2),
    feed_forward=FeedForward.Config(d_ff=24),
    vocab_size=9,
)
TRUNK = Recipe(schedule=WarmupHoldDecay(warmup=3), batch=3)
BRANCH = Recipe(schedule=WarmupHoldDecay(warmup=3, hold=7), batch=3)


class Told(Journal):
    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []

    def event(self, event):
        self.events.append(event)


def run(recipe, steps, **more):
    model, told = CONFIG.build(), Told()
    draw(model, 5)
    batches = Copy(vocab_size=9).prepare().batches(1, 3, 11)
    outcome = train(model, batches, recipe, learning_rate=3e-2, steps=steps, journal=told, **more)
    return model, told.events, outcome


def test_trunk_in_two_pieces_and_a_branch(tmp_path):
    whole, expected, _ = run(BRANCH, 11)
    _, first, _ = run(TRUNK, 4, keep=tmp_path / "four")
    _, second, _ = run(TRUNK, 7, start=tmp_path / "four", keep=tmp_path / "seven")
    branch, third, outcome = run(BRANCH, 11, start=tmp_path / "seven")
    assert first + second + third == expected
    assert (len(first), len(second), len(third)) == (4, 3, 4)
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(branch)[name]), name
    assert outcome.steps == 11


def test_an_own_checkpoint_comes_before_the_start(tmp_path):
    """A branch that was interrupted goes on from where it was, not from its snapshot."""
    run(TRUNK, 7, keep=tmp_path / "seven")
    whole, expected, _ = run(BRANCH, 11, start=tmp_path / "seven")

    class Stops(Told):
        def event(self, event):
            super().event(event)
            if event["step"] == 9:
                raise KeyboardInterrupt

    model = CONFIG.build()
    draw(model, 5)
    batches = Copy(vocab_size=9).prepare().batches(1, 3, 11)
    with pytest.raises(KeyboardInterrupt):
        train(
            model,
            batches,
            BRANCH,
            learning_rate=3e-2,
            steps=11,
            journal=Stops(),
            progress=tmp_path / "progress",
            every_seconds=0.0,
            start=tmp_path / "seven",
        )
    again, rest, _ = run(BRANCH, 11, start=tmp_path / "seven", progress=tmp_path / "progress")
    assert rest == expected[-len(rest) :]
    assert len(rest) < 4
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(again)[name]), name


def test_a_start_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match="holds no state of 1 to 11 steps to go on from"):
        run(BRANCH, 11, start=tmp_path / "missing")
    run(TRUNK, 7, keep=tmp_path / "seven")
    with pytest.raises(ConfigError, match="holds no state of 1 to 5 steps"):
        run(BRANCH, 5, start=tmp_path / "seven")
