"""What a step lowers: by default the cross entropy of the logits, bit for bit; a loss of the output layer in chunks."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import ConfigError
from paribus.data.batch import IGNORED
from paribus.data.synthetic.copy_task import Copy
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.losses.output.cross_entropy import CrossEntropy
from paribus.losses.output.earth_mover import EarthMover
from paribus.models.decoder import DecoderLM
from paribus.training.checkpoint import save_progress
from paribus.training.loop import Journal, train
from paribus.training.objective import objective, token_loss
from paribus.training.precision import autocast
from paribus.training.recipe import Recipe


def build(tied: bool = True) -> DecoderLM:
    config = DecoderLM.Config(
        n_layers=1,
        d_model=16,
        mixer=GroupedQuery.Config(n_heads=2),
        feed_forward=FeedForward.Config(d_ff=16),
        vocab_size=9,
        tie_embeddings=tied,
    )
    model = config.build()
    draw(model, 0)
    with torch.no_grad():
        model.output_matrix.mul_(20)  # so that the logits are not all near 0
    return model


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(9, (3, 7), generator=generator)
    targets = torch.randint(9, (3, 7), generator=generator)
    targets[:, :2] = IGNORED
    return tokens, targets


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [weight.grad.clone() for weight in model.parameters()]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_by_default_it_is_the_loss_of_the_logits_bit_for_bit(dtype):
    tokens, targets = batch()
    one, other = build(), build()
    lost = objective(one, None, dtype)(tokens, targets)
    lost.backward()
    with autocast(dtype, torch.device("cpu")):
        logits = other(tokens)
    expected = token_loss(logits, targets)
    expected.backward()
    assert torch.equal(lost, expected)
    assert all(map(torch.equal, gradients(one), gradients(other)))
    plain = F.cross_entropy(logits.float().flatten(0, -2), targets.flatten(), ignore_index=IGNORED)
    torch.testing.assert_close(lost, plain, rtol=1e-6, atol=0)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("bfloat16", 0.03)])
def test_chunked_cross_entropy_is_the_same_function(tied, dtype, rtol):
    tokens, targets = batch()
    one, other = build(tied), build(tied)
    plain, chunked = objective(one, None, dtype), objective(other, CrossEntropy(chunk=4), dtype)
    first, second = plain(tokens, targets), chunked(tokens, targets)
    first.backward()
    second.backward()
    torch.testing.assert_close(second, first.detach(), rtol=rtol, atol=1e-6)
    for own, expected in zip(gradients(other), gradients(one)):
        torch.testing.assert_close(own, expected, rtol=rtol, atol=rtol * float(expected.abs().max()))


def test_a_training_by_the_chunked_form_goes_the_same_way():
    losses = []
    for loss in (None, CrossEntropy(chunk=5)):
        batches = Copy(vocab_size=9).prepare().batches(seed=1, batch=4, length=8)
        losses.append(train(build(), batches, Recipe(batch=4), learning_rate=0.01, steps=6, loss=loss).final_loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


class Start(Journal):
    def rewind(self, step: int) -> None:
        self.done = step


def test_costs_are_those_of_the_start_after_a_resume_too(tmp_path):
    """A half of share 1 trained alone would move the costs along with the head, were they not those of the start."""
    loss, recipe = EarthMover.Config(share=1.0, adaptive=False), Recipe(batch=4)
    batches = Copy(vocab_size=9).prepare().batches(seed=1, batch=4, length=8)
    halfway = build()
    with torch.no_grad():
        halfway.output_matrix.copy_(torch.randn(9, 16, generator=torch.Generator().manual_seed(5)))
    save_progress(halfway, recipe.optimizer.make(halfway), 1, tmp_path / "progress")
    journal = Start()
    outcome = train(
        build(),
        batches,
        recipe,
        learning_rate=0.01,
        steps=2,
        loss=loss,
        journal=journal,
        progress=tmp_path / "progress",
    )
    assert journal.done == 1
    second = batches.batch(1)
    hidden = halfway.hidden(torch.from_numpy(second.tokens))
    expected = loss.over(build().output_matrix)(hidden, halfway.output_matrix, torch.from_numpy(second.targets))
    assert outcome.final_loss == pytest.approx(float(expected.detach()), rel=1e-5)


def test_a_batch_without_targets_is_not_a_number_by_the_logits_and_nothing_by_chunks():
    tokens, targets = batch()
    targets[:] = IGNORED
    assert math.isnan(float(objective(build())(tokens, targets).detach()))
    assert float(objective(build(), CrossEntropy())(tokens, targets).detach()) == 0


def test_a_model_that_shows_no_hidden_states_is_refused():
    model = nn.Embedding(9, 9)
    tokens, targets = batch()
    assert float(objective(model)(tokens, targets).detach()) == float(token_loss(model(tokens), targets).detach())
    with pytest.raises(ConfigError, match=r"Embedding cannot be trained by CrossEntropy.*give the model `hidden"):
        objective(model, CrossEntropy())
