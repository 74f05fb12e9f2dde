"""Every optimizer: holds each trained parameter once, lowers a loss, and goes on exactly from its state."""

import copy

import pytest
import torch
from torch import nn

from paribus.core.discovery import members
from paribus.training.checkpoint import load_progress, save_progress
from paribus.training.optimizers.base import OptimizerRecipe

EXAMPLES = [example for cls in members(OptimizerRecipe) for example in cls.examples]
every = pytest.mark.parametrize("recipe", EXAMPLES, ids=str)


def make() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3), nn.Linear(3, 3))
    model[3].weight.requires_grad_(False)
    return model


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> list[float]:
    losses = []
    for step in range(first, last):
        numbers = torch.Generator().manual_seed(step)
        x = torch.randn(16, 5, generator=numbers)
        loss = (model(x) - x[:, :3]).square().mean()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.01
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(OptimizerRecipe))


@every
def test_each_trained_parameter_once(recipe):
    model = make()
    held = [weight for group in recipe.make(model).param_groups for weight in group["params"]]
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert {id(weight) for weight in held} == {id(weight) for weight in trained}
    assert len(held) == len(trained)
    assert all(group["lr"] == 1.0 for group in recipe.make(model).param_groups)


@every
def test_it_lowers_a_loss(recipe):
    model = make()
    before = copy.deepcopy(model[3].weight)
    losses = steps(model, recipe.make(model), 0, 60)
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    assert torch.equal(model[3].weight, before)


@every
@pytest.mark.parametrize("stop", [1, 2, 5])
def test_it_goes_on_from_its_state_bit_by_bit(recipe, stop, tmp_path):
    whole, part, other = make(), make(), make()
    expected = steps(whole, recipe.make(whole), 0, 8)
    optimizer = recipe.make(part)
    found = steps(part, optimizer, 0, stop)
    save_progress(part, optimizer, stop, tmp_path / "progress")
    optimizer = recipe.make(other)
    assert load_progress(other, optimizer, tmp_path / "progress") == stop
    assert found + steps(other, optimizer, stop, 8) == expected
    for one, two in zip(whole.parameters(), other.parameters()):
        assert torch.equal(one, two)
