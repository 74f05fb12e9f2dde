"""Codes that follow: the means of frozen vectors in the end, the formula step by step, and no dead code."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from paribus.layers.parameters import draw
from paribus.quantizers.ema import EMA
from paribus.quantizers.readers import Readers


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


@pytest.mark.parametrize("restart_below", [0.0, 0.1])
def test_hidden_vectors_move_nothing(restart_below):
    """A padded batch is the batch without its padding, of any group; and nothing at all moves nothing."""
    x = torch.randn(2, 2, 9, 2, dtype=torch.float64)
    visible = torch.tensor([[[0, 0, 1, 1, 1, 1, 1, 1, 1]], [[1, 1, 1, 0, 1, 0, 0, 0, 1]]]) == 1
    kept = x.transpose(0, 1)[:, visible[:, 0]][None]
    alone, padded = build(groups=2, restart_below=restart_below), build(groups=2, restart_below=restart_below)
    for _ in range(3):
        one, other = alone(kept), padded(x.masked_fill(~visible[..., None], 1e9), visible)
        torch.testing.assert_close(other.loss, one.loss)
        torch.testing.assert_close(padded.codes, alone.codes)
        torch.testing.assert_close(padded.usage, alone.usage)
    before = alone.codes.clone()
    assert alone(x, torch.zeros_like(visible)).loss == 0
    torch.testing.assert_close(alone.codes, before)
    assert alone(x[:, :, :0]).loss == 0
    assert alone.codes.isfinite().all()


def of_two(work):
    """What each of two readers finds, as two threads that wait for each other at every sum."""
    both, put = threading.Barrier(2, timeout=60), {}

    def one(number):
        def summed(tensor):
            put[number] = tensor
            both.wait()
            total = put[0] + put[1]
            both.wait()
            return total

        return work(number, Readers(number, 2, summed))

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(2)))


@pytest.mark.parametrize("hidden", ["none", "some", "all"])
def test_two_readers_find_what_one_finds(hidden):
    """Rows in turn, one more for the first: the same vectors for both, and the mean of their distances is the whole."""
    x = torch.randn(5, 2, 4, 3, dtype=torch.float64)
    visible = {"none": None, "some": torch.rand(5, 2, 4) < 0.6, "all": torch.zeros(5, 1, 4, dtype=torch.bool)}[hidden]

    def work(number, readers):
        rows, own = x[number::2], None if visible is None else visible[number::2]
        return *readers.evenly(rows, own, 7), readers.distance(rows, torch.zeros_like(rows), own)

    vectors, there = Readers().evenly(x, visible, 7)
    found = of_two(work)
    for some, those, _ in found:
        assert torch.equal(those, there)
        torch.testing.assert_close(some.where(those[..., None], 0.0), vectors.where(there[..., None], 0.0))
    whole = Readers().distance(x, torch.zeros_like(x), visible)
    torch.testing.assert_close(torch.stack([distance for *_, distance in found]).mean(), whole)
    if visible is None:
        torch.testing.assert_close(vectors, x.transpose(0, 1).flatten(1, 2)[:, torch.arange(7) * 20 // 7])


def test_two_readers_move_the_same_codes():
    x = torch.randn(3, 5, 1, 4, 2, dtype=torch.float64)
    alone = build()
    for batch in x:
        alone(batch)

    def work(number, readers):
        quantizer = build()
        quantizer.readers = readers
        for batch in x:
            quantizer(batch[number::2])
        return quantizer

    for quantizer in of_two(work):
        torch.testing.assert_close(quantizer.codes, alone.codes)
        torch.testing.assert_close(quantizer.usage, alone.usage)
