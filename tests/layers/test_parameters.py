"""Seed s draws each parameter by (s, name), whatever else the model contains."""

import pytest
import torch
from torch import nn

from paribus.layers.embedding import Embedding
from paribus.layers.linear import Linear
from paribus.layers.parameters import decayed, draw, parameter


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Linear(63, 31)
        self.last = Linear(31, 63, gain=0.5)


class Larger(nn.Module):
    """Has what Small has, other parameters before and between it, and a module of a stranger."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Embedding(17, 63)
        self.first = Linear(63, 31)
        self.foreign = nn.Linear(3, 3)
        self.last = Linear(31, 63, gain=0.5)
        self.gain = parameter((63,), std=0.0, mean=1.0)


def test_parameters_of_equal_name_and_shape_are_bit_equal():
    small, larger = Small(), Larger()
    torch.manual_seed(1)
    draw(small, 5)
    torch.manual_seed(2)
    draw(larger, 5)
    for name in ("first.weight", "last.weight"):
        assert torch.equal(small.get_parameter(name), larger.get_parameter(name))


def test_drawing_twice_gives_the_same_and_another_seed_gives_others():
    one, other = Small(), Small()
    draw(one, 5)
    draw(other, 6)
    assert not torch.equal(one.first.weight, other.first.weight)
    # Another name, another draw: no trace of the first matrix in the last.
    both = torch.stack((one.first.weight.detach().flatten(), one.last.weight.detach().flatten()))
    assert float(torch.corrcoef(both)[0, 1].abs()) < 5 * both.shape[1] ** -0.5
    draw(other, 5)
    assert torch.equal(one.first.weight, other.first.weight)


def test_the_global_generator_is_left_alone():
    model = Small()
    state = torch.get_rng_state()
    draw(model, 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_foreign_parameters_keep_their_own_start():
    model = Larger()
    before = {name: weight.clone() for name, weight in model.foreign.named_parameters()}
    draw(model, 0)
    for name, weight in model.foreign.named_parameters():
        assert torch.equal(weight, before[name])
    assert torch.equal(model.gain, torch.ones(63))


@pytest.mark.parametrize("gain", [1.0, 0.25])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_law_of_a_matrix(gain, seed):
    """N(0, gain^2 / d_in): mean within 5 standard errors, standard deviation within 2 %."""
    layer = Linear(127, 255, gain=gain)
    draw(layer, seed)
    weight, std = layer.weight.detach(), gain * 127**-0.5
    assert abs(float(weight.mean())) < 5 * std / weight.numel() ** 0.5
    assert float(weight.std()) == pytest.approx(std, rel=0.02)
    assert float((weight.abs() > 2 * std).float().mean()) == pytest.approx(0.0455, abs=0.006)


def test_an_undrawn_parameter_is_its_mean():
    assert torch.equal(parameter((2, 3), std=1.0, mean=0.5), torch.full((2, 3), 0.5))


def test_doubles_are_drawn_from_the_same_numbers():
    one, other = Small(), Small().double()
    draw(one, 1)
    draw(other, 1)
    assert torch.equal(one.first.weight.double(), other.first.weight)


def test_what_decays():
    model = Larger()
    assert {name for name, weight in model.named_parameters() if decayed(weight)} == {
        "table.weight",
        "first.weight",
        "foreign.weight",
        "last.weight",
    }
