"""Every pairing turns d/2 pairs of its own, and weights move between pairings without changing a score."""

import pytest
import torch

from paribus.core.discovery import members
from paribus.core.errors import ConfigError
from paribus.positions.pairing.base import Pairing
from paribus.positions.pairing.convert import convert
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.pairing.interleaved import Interleaved
from paribus.positions.rotary import Rotary

EXAMPLES = [example for cls in members(Pairing) for example in cls.examples]
every = pytest.mark.parametrize("pairing", EXAMPLES, ids=str)


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Pairing))


@every
@pytest.mark.parametrize("head_dim", [2, 6, 64])
def test_the_order_leads_to_the_half_split_layout(pairing, head_dim):
    order = pairing.half_split_order(head_dim)
    assert sorted(order) == list(range(head_dim))
    x, angles = torch.randn(5, head_dim), torch.randn(5, head_dim // 2)
    turned = pairing.rotate(x, angles.cos(), angles.sin())
    expected = HalfSplit().rotate(x[:, order], angles.cos(), angles.sin())
    torch.testing.assert_close(turned[:, order], expected)


@every
def test_a_quarter_turn(pairing):
    """(a, b) -> (-b, a), pair by pair."""
    x = torch.randn(6)
    a, b = torch.tensor(pairing.half_split_order(6)).view(2, 3)
    turned = pairing.rotate(x, torch.zeros(3), torch.ones(3))
    assert torch.equal(turned[a], -x[b])
    assert torch.equal(turned[b], x[a])


@every
def test_gradients_reach_vectors_and_angles_twice(pairing):
    x, angles = torch.randn(3, 6, dtype=torch.float64), torch.randn(3, 3, dtype=torch.float64)

    def turn(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        return pairing.rotate(x, angles.cos(), angles.sin())

    x.requires_grad_()
    assert torch.autograd.gradcheck(turn, (x, angles))
    assert torch.autograd.gradgradcheck(turn, (x, angles))
    assert torch.autograd.gradcheck(turn, (x, angles.requires_grad_()))
    assert torch.autograd.gradgradcheck(turn, (x, angles))


def test_the_published_orders():
    """x_half = x_interleaved[0, 2, 4, ..., 1, 3, 5, ...]."""
    assert Interleaved().half_split_order(8) == [0, 2, 4, 6, 1, 3, 5, 7]
    assert HalfSplit().half_split_order(8) == list(range(8))
    weight = torch.arange(8.0)[:, None]
    assert convert(weight, 1, Interleaved(), HalfSplit()).flatten().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert convert(weight, 1, HalfSplit(), Interleaved()).flatten().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


class Shuffled(Pairing):
    """A third layout, so that neither end of a conversion need be the half-split one."""

    def rotate(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        order = self.half_split_order(x.shape[-1])
        return HalfSplit().rotate(x[..., order], cos, sin)[..., torch.tensor(order).argsort()]

    def half_split_order(self, head_dim: int) -> list[int]:
        return sorted(range(head_dim), key=lambda i: (7 * i + 3) % (head_dim + 1))


@pytest.mark.parametrize("pairing", [*EXAMPLES, Shuffled()], ids=str)
@pytest.mark.parametrize("other", [*EXAMPLES, Shuffled()], ids=str)
@pytest.mark.parametrize("n_heads", [1, 3])
def test_converted_weights_give_equal_scores(pairing, other, n_heads):
    head_dim, width = 10, 7
    x, at = torch.randn(1, 5, width, dtype=torch.float64), torch.arange(5)[None] * 11
    w_q, w_k = torch.randn(2, n_heads * head_dim, width, dtype=torch.float64)

    def scores(rope: Rotary, w_q: torch.Tensor, w_k: torch.Tensor) -> torch.Tensor:
        q, k = (rope.rotate((x @ w.T).unflatten(-1, (n_heads, head_dim)).transpose(1, 2), at) for w in (w_q, w_k))
        return q @ k.transpose(-1, -2)

    before = scores(Rotary(pairing=pairing), w_q, w_k)
    moved = [convert(w, n_heads, pairing, other) for w in (w_q, w_k)]
    torch.testing.assert_close(scores(Rotary(pairing=other), *moved), before)
    assert all(torch.equal(convert(w, n_heads, other, pairing), w0) for w, w0 in zip(moved, (w_q, w_k)))
    if other != pairing:
        # Without the conversion the logits are finite and wrong.
        assert float((scores(Rotary(pairing=other), w_q, w_k) - before).abs().max()) > 0.1


def test_biases_are_converted_too():
    bias = torch.randn(12)
    there = convert(bias, 2, Interleaved(), HalfSplit())
    assert torch.equal(convert(there, 2, HalfSplit(), Interleaved()), bias)


@pytest.mark.parametrize(("rows", "n_heads"), [(12, 5), (9, 3), (6, 2)])
def test_rows_that_are_no_even_heads(rows, n_heads):
    with pytest.raises(ConfigError, match=f"{rows} rows cannot be {n_heads} heads of an even width"):
        convert(torch.randn(rows, 4), n_heads, Interleaved(), HalfSplit())
