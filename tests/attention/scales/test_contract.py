"""Every scale: keys are changed by themselves alone, rotation may come before or after, one key is enough."""

import pytest
import torch
from torch import Tensor

from paribus.attention.scales.base import Scale
from paribus.core.discovery import members
from paribus.positions.rotary import Rotary

EXAMPLES = [example for cls in members(Scale) for example in cls.examples]
every = pytest.mark.parametrize("scale", EXAMPLES, ids=str)


def counts(scale: Scale, n: int) -> Tensor | None:
    return torch.arange(1, n + 1)[None, None] if scale.counts_keys else None


def logits(scale: Scale, q: Tensor, k: Tensor) -> Tensor:
    q, k, factor = scale(q, k, counts(scale, q.shape[2]))
    return factor * q @ k.transpose(-1, -2)


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Scale))


@every
def test_keys_are_changed_by_themselves_alone(scale):
    """So that they can be cached: a key does not depend on queries, other keys or its place."""
    q, k = torch.randn(2, 2, 3, 7, 8)
    _, whole, factor = scale(q, k, counts(scale, 7))
    assert isinstance(factor, float)
    for n in range(7):
        _, alone, same = scale(torch.randn(2, 3, 1, 8), k[:, :, n : n + 1], counts(scale, 1))
        assert torch.equal(alone, whole[:, :, n : n + 1])
        assert same == factor


@every
def test_a_query_depends_on_itself_and_its_count_alone(scale):
    q, k = torch.randn(2, 2, 3, 7, 8)
    whole, _, _ = scale(q, k, counts(scale, 7))
    for m in range(7):
        count = torch.full((1, 1, 1), m + 1) if scale.counts_keys else None
        alone, _, _ = scale(q[:, :, m : m + 1], torch.randn(2, 3, 5, 8), count)
        assert torch.equal(alone, whole[:, :, m : m + 1])


@every
def test_rotation_may_come_before_or_after(scale):
    q, k = torch.randn(2, 1, 2, 7, 8)
    at, rope = torch.arange(7)[None] * 31, Rotary()
    before, after = (scale(rope.rotate(q, at), rope.rotate(k, at), counts(scale, 7)), scale(q, k, counts(scale, 7)))
    torch.testing.assert_close(before[0], rope.rotate(after[0], at), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(before[1], rope.rotate(after[1], at), rtol=1e-5, atol=1e-6)


@every
def test_zero_vectors_and_hidden_rows_stay_finite(scale):
    q, k = (torch.zeros(1, 2, 3, 4, requires_grad=True) for _ in range(2))
    count = torch.zeros(1, 1, 3, dtype=torch.int64) if scale.counts_keys else None
    new_q, new_k, factor = scale(q, k, count)
    assert torch.equal(new_q, torch.zeros_like(q))
    assert torch.equal(new_k, torch.zeros_like(k))
    total = (factor * new_q @ new_k.transpose(-1, -2)).sum() + new_q.sum() + new_k.sum()
    for gradient in torch.autograd.grad(total, (q, k)):
        assert gradient.isfinite().all()


@every
def test_gradient_and_dtype(scale):
    q, k = (torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda q, k: logits(scale, q, k), (q, k))
    for dtype in (torch.bfloat16, torch.float32):
        new_q, new_k, _ = scale(q.to(dtype), k.to(dtype), counts(scale, 3))
        assert new_q.dtype == new_k.dtype == dtype


@every
def test_bfloat16(scale):
    """Vectors are rounded at most twice: within 2^-7 of float64 on the same inputs."""
    q, k = torch.randn(2, 1, 2, 63, 16).bfloat16()
    rounded, exact = scale(q, k, counts(scale, 63)), scale(q.double(), k.double(), counts(scale, 63))
    for found, expected in zip(rounded[:2], exact[:2]):
        assert ((found.double() - expected).abs() <= 2**-7 * expected.abs() + 1e-6).all()
