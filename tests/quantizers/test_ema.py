"""Codes that follow: the means of frozen vectors in the end, the formula step by step, and no dead code."""

import pytest
import torch

from paribus.layers.parameters import draw
from paribus.quantizers.ema import EMA


def build(**options):
    quantizer = EMA.Config(**({"n_codes": 3, "width": 2} | options)).build()
    draw(quantizer, 0)
    return quantizer.double()


CENTRES = torch.tensor([[5.0, 0.0], [-5.0, 1.0], [0.0, 7.0]], dtype=torch.float64)


def clouds(n=60):
    return (CENTRES.repeat(n // 3, 1) + 0.3 * torch.randn(n, 2, dtype=torch.float64))[None, None]


def test_frozen_vectors_end_at_their_means():
    """A fixed point of the rule is a fixed point of Lloyd's k-means: every code the mean of what falls to it."""
    quantizer, x = build(decay=0.5), clouds()
    x.requires_grad_()
    for _ in range(40):
        _, which, _ = quantizer(x)
    for code in range(3):
        own = x[0, 0][which[0, 0] == code]
        torch.testing.assert_close(quantizer.codes[0, code].detach(), own.mean(0).detach(), rtol=1e-6, atol=1e-6)


def test_the_rule_step_by_step():
    """N <- g N + (1 - g) n and m <- g m + (1 - g) sum, code = m / N: the textbook form with two sums."""
    quantizer = build(decay=0.9, restart_below=0.0)
    sums = torch.zeros(3, 2, dtype=torch.float64)
    number = torch.zeros(3, dtype=torch.float64)
    start = quantizer.codes[0].clone()
    for _ in range(5):
        x = 2 * torch.randn(1, 1, 20, 2, dtype=torch.float64)
        _, which, _ = quantizer(x)
        one_hot = torch.nn.functional.one_hot(which[0, 0], 3).double()
        number = 0.9 * number + 0.1 * one_hot.sum(0)
        sums = 0.9 * sums + 0.1 * one_hot.T @ x[0, 0]
        expected = (sums / number[:, None]).where(number[:, None] > 0, start)
        torch.testing.assert_close(quantizer.codes[0].detach(), expected)
        torch.testing.assert_close(quantizer.usage[0], number)


def test_dead_codes_restart_at_vectors_of_the_batch():
    """All codes far away but one, which takes everything: after the first batch the others stand among the vectors."""
    quantizer, x = build(n_codes=9), clouds()
    with torch.no_grad():
        quantizer.codes[:] = 1e3
        quantizer.codes[0, 0] = 0
    quantizer(x)
    assert quantizer.codes.abs().max() < 10
    for _ in range(10):
        _, which, _ = quantizer(x)
    assert len(which.unique()) >= 8
    again = build(n_codes=9)
    with torch.no_grad():
        again.codes[:] = 1e3
        again.codes[0, 0] = 0
    for _ in range(11):
        again(x)
    assert torch.equal(again.codes, quantizer.codes)  # no random number is drawn


@pytest.mark.parametrize("how", ["eval", "no_grad"])
def test_codes_move_in_training_only(how):
    quantizer, x = build(), clouds()
    before = quantizer.codes.clone()
    if how == "eval":
        quantizer.eval()(x)
    else:
        with torch.no_grad():
            quantizer(x)
    assert torch.equal(quantizer.codes, before)
    assert (quantizer.usage == 0).all()
