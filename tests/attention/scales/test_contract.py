"""Every scale: keys are changed by themselves alone, rotation may come before or after, one key is enough."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paribus.attention.scales.base import Scale
from paribus.core.discovery import members
from paribus.positions.rotary import Rotary

EXAMPLES = [example for cls in members(Scale) for example in cls.examples]
KINDS = {type(example) for example in EXAMPLES}
every = pytest.mark.parametrize("scale", EXAMPLES, ids=str)


def counts(scale: Scale, n: int) -> Tensor | None:
    return torch.arange(1, n + 1)[None, None] if scale.counts_keys else None


def built(scale: Scale, head_dim: int, dtype: torch.dtype = torch.float32) -> Callable[..., Any]:
    """What a layer calls, with gains that are not 1 where it has some."""
    module = scale.build(head_dim)
    assert (module is scale) == (scale.n_parameters(head_dim) == 0)
    if isinstance(module, nn.Module):
        assert sum(p.numel() for p in module.parameters()) == scale.n_parameters(head_dim)
        for gain in module.parameters():
            nn.init.uniform_(gain, 0.5, 1.5)
        module.to(dtype)
    return module


def logits(scale: Scale, apply: Callable[..., Any], q: Tensor, k: Tensor) -> Tensor:
    q, k, factor = apply(q, k, counts(scale, q.shape[2]))
    return factor * q @ k.transpose(-1, -2)


def test_every_member_has_an_example():
    assert set(members(Scale)) == KINDS


@every
def test_keys_are_changed_by_themselves_alone(scale):
    """So that they can be cached: a key does not depend on queries, other keys or its place."""
    apply = built(scale, 8)
    q, k = torch.randn(2, 2, 3, 7, 8)
    _, whole, factor = apply(q, k, counts(scale, 7))
    assert isinstance(factor, float)
    for n in range(7):
        _, alone, same = apply(torch.randn(2, 3, 1, 8), k[:, :, n : n + 1], counts(scale, 1))
        assert torch.equal(alone, whole[:, :, n : n + 1])
        assert same == factor


@every
def test_a_query_depends_on_itself_and_its_count_alone(scale):
    apply = built(scale, 8)
    q, k = torch.randn(2, 2, 3, 7, 8)
    whole, _, _ = apply(q, k, counts(scale, 7))
    for m in range(7):
        count = torch.full((1, 1, 1), m + 1) if scale.counts_keys else None
        alone, _, _ = apply(q[:, :, m : m + 1], torch.randn(2, 3, 5, 8), count)
        assert torch.equal(alone, whole[:, :, m : m + 1])


@every
def test_whether_rotation_may_come_before_or_after(scale):
    apply = built(scale, 8)
    q, k = torch.randn(2, 1, 2, 7, 8)
    at, rope = torch.arange(7)[None] * 31, Rotary()
    before, after = (apply(rope.rotate(q, at), rope.rotate(k, at), counts(scale, 7)), apply(q, k, counts(scale, 7)))
    if not scale.commutes:
        assert not torch.allclose(before[0], rope.rotate(after[0], at), rtol=1e-2)
        return
    torch.testing.assert_close(before[0], rope.rotate(after[0], at), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(before[1], rope.rotate(after[1], at), rtol=1e-5, atol=1e-6)


@every
def test_zero_vectors_and_hidden_rows_stay_finite(scale):
    q, k = (torch.zeros(1, 2, 3, 4, requires_grad=True) for _ in range(2))
    count = torch.zeros(1, 1, 3, dtype=torch.int64) if scale.counts_keys else None
    new_q, new_k, factor = built(scale, 4)(q, k, count)
    assert torch.equal(new_q, torch.zeros_like(q))
    assert torch.equal(new_k, torch.zeros_like(k))
    total = (factor * new_q @ new_k.transpose(-1, -2)).sum() + new_q.sum() + new_k.sum()
    for gradient in torch.autograd.grad(total, (q, k)):
        assert gradient.isfinite().all()


@every
def test_gradient_and_dtype(scale):
    q, k = (torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    wide = built(scale, 4, torch.float64)
    assert torch.autograd.gradcheck(lambda q, k: logits(scale, wide, q, k), (q, k))
    apply = built(scale, 4)
    for dtype in (torch.bfloat16, torch.float32):
        new_q, new_k, _ = apply(q.to(dtype), k.to(dtype), counts(scale, 3))
        assert new_q.dtype == new_k.dtype == dtype


@every
def test_bfloat16(scale):
    """Vectors are rounded at most twice: within 2^-7 of float64 on the same inputs."""
    q, k = torch.randn(2, 1, 2, 63, 16).bfloat16()
    apply = built(scale, 16)
    rounded = apply(q, k, counts(scale, 63))
    wide = apply.double() if isinstance(apply, nn.Module) else apply
    exact = wide(q.double(), k.double(), counts(scale, 63))
    for found, expected in zip(rounded[:2], exact[:2]):
        assert ((found.double() - expected).abs() <= 2**-7 * expected.abs() + 1e-6).all()
