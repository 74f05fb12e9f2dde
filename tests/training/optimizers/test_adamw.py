"""AdamW against its formula, and which weights decay."""

import pytest
import torch
from torch import nn

from paribus.core.errors import ConfigError
from paribus.training.optimizers.adamw import AdamW


def test_formula():
    model = nn.Linear(3, 2).double()
    optimizer = AdamW(betas=(0.8, 0.9), eps=1e-3, weight_decay=0.2).make(model)
    w = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    m = {name: torch.zeros_like(weight) for name, weight in w.items()}
    v = {name: torch.zeros_like(weight) for name, weight in w.items()}
    for step in range(1, 5):
        rate = 0.1 / step
        for name, weight in model.named_parameters():
            gradient = torch.randn_like(weight)
            weight.grad = gradient.clone()
            m[name] = 0.8 * m[name] + 0.2 * gradient
            v[name] = 0.9 * v[name] + 0.1 * gradient**2
            step_size = (m[name] / (1 - 0.8**step)) / ((v[name] / (1 - 0.9**step)).sqrt() + 1e-3)
            decay = 0.2 if name == "weight" else 0.0
            w[name] = w[name] - rate * (step_size + decay * w[name])
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.detach(), w[name])


def test_matrices_decay_and_gains_do_not():
    model = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 4))
    decays = {
        id(weight): group["weight_decay"] for group in AdamW().make(model).param_groups for weight in group["params"]
    }
    for name, weight in model.named_parameters():
        assert decays[id(weight)] == (0.1 if name in ("0.weight", "2.weight") else 0.0)
    only_gains = AdamW().make(nn.LayerNorm(4))
    assert [group["weight_decay"] for group in only_gains.param_groups] == [0.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"betas": (0.9, 1.0)}, r"betas = \(0.9, 1.0\): expected two numbers in \[0, 1\)"),
        ({"eps": 0.0}, "eps = 0"),
        ({"weight_decay": -0.1}, "weight_decay = -0"),
    ],
)
def test_impossible_numbers(change, said):
    with pytest.raises(ConfigError, match=said):
        AdamW(**change)
