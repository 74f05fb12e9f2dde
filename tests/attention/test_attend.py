"""Dense attention, the fused kernel and a loop over heads and queries agree: outputs and gradients, odd sizes."""

import pytest
import torch
from torch import Tensor

from paribus.attention import backends
from paribus.attention.attend import attend, grouped_scores, grouped_values
from paribus.normalizers.softmax import Softmax
from paribus.positions.base import Piece

SHAPES = [
    # batch, heads, kv_heads, queries, keys, head_dim, value_dim
    (1, 1, 1, 1, 1, 1, 1),
    (2, 4, 4, 7, 7, 8, 8),
    (3, 6, 2, 7, 7, 5, 3),
    (2, 4, 1, 1, 63, 8, 8),
    (1, 6, 3, 63, 63, 16, 16),
    (2, 2, 1, 5, 9, 4, 6),
]
MASKS = ["none", "causal", "random", "per-head", "hidden rows"]


def make(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    batch, heads, kv_heads, queries, keys, head_dim, value_dim = shape
    q = torch.randn(batch, heads, queries, head_dim, dtype=dtype)
    k = torch.randn(batch, kv_heads, keys, head_dim, dtype=dtype)
    return q, k, torch.randn(batch, kv_heads, keys, value_dim, dtype=dtype)


def mask_of(kind: str, shape: tuple[int, ...]) -> Tensor | None:
    batch, heads, _, queries, keys, _, _ = shape
    if kind == "none":
        return None
    if kind == "causal":
        return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)[None, None]
    if kind == "per-head":
        return torch.rand(1, heads, queries, keys) < 0.6
    mask = torch.rand(batch, 1, queries, keys) < 0.6
    if kind == "hidden rows":
        mask[:, :, ::2] = False
    return mask


def looped(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    """sum_n exp(c <q, k_n>) v_n / sum_n exp(c <q, k_n>) over the keys that are seen, query by query."""
    batch, heads, queries, _ = q.shape
    rows = []
    for b in range(batch):
        for h in range(heads):
            g = h // (heads // k.shape[1])
            for m in range(queries):
                seen = torch.ones(k.shape[2], dtype=torch.bool)
                if mask is not None:
                    seen = mask.expand(batch, heads, -1, -1)[b, h, m]
                weights = (scale * (k[b, g, seen] @ q[b, h, m])).exp()
                total = weights.sum() if seen.any() else torch.ones((), dtype=q.dtype)
                rows.append((weights[:, None] * v[b, g, seen]).sum(dim=0) / total)
    return torch.stack(rows).view(batch, heads, queries, v.shape[-1])


def dense(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    return attend([Piece(q, k, None)], v, scale=scale, normalizer=Softmax(), mask=mask)


def fused(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    return backends.fused(q, k, v, scale=scale, mask=mask, causal=False)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", MASKS)
def test_three_ways_agree_in_outputs_and_gradients(shape, kind):
    inputs = make(shape)
    mask, weigh = mask_of(kind, shape), None
    results = []
    for way in (looped, dense, fused):
        own = [x.clone().requires_grad_() for x in inputs]
        out = way(*own, 0.3, mask)
        weigh = torch.randn_like(out) if weigh is None else weigh
        results.append((out, torch.autograd.grad((out * weigh).sum(), own)))
    for out, gradients in results[1:]:
        torch.testing.assert_close(out, results[0][0], rtol=1e-9, atol=1e-9)
        for found, expected in zip(gradients, results[0][1]):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("way", [dense, fused])
def test_a_query_that_sees_nothing_gives_zeros_and_finite_gradients(way):
    q, k, v = (x.float().requires_grad_() for x in make((2, 4, 2, 7, 7, 8, 8)))
    mask = torch.ones(2, 1, 7, 7, dtype=torch.bool).tril()
    mask[1, :, :3] = False
    out = way(q, k, v, 0.3, mask)
    assert (out[1, :, :3] == 0).all()
    assert (out[0] != 0).all()
    for gradient in torch.autograd.grad(out.sum(), (q, k, v)):
        assert gradient.isfinite().all()
    nothing = way(q, k, v, 0.3, torch.zeros(7, 7, dtype=torch.bool))
    assert torch.equal(nothing, torch.zeros_like(nothing))


@pytest.mark.parametrize("shape", [(2, 4, 4, 7, 7, 8, 8), (1, 6, 2, 63, 63, 16, 16)], ids=str)
def test_the_kernels_own_causal_mask(shape):
    q, k, v = make(shape, torch.float32)
    found = backends.fused(q, k, v, scale=0.3, mask=None, causal=True)
    torch.testing.assert_close(found, dense(q, k, v, 0.3, mask_of("causal", shape)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", [dense, fused])
def test_bfloat16(way):
    """Against float64 on the same bfloat16 inputs: weights are off by 2^-8, values by as much of their size.

    Outputs are averages of values below 4 in size, so 4 * 2 * 2^-8 bounds the error.
    """
    shape = (2, 6, 2, 63, 63, 16, 16)
    q, k, v = (x.clamp(-4, 4).bfloat16() for x in make(shape))
    mask = mask_of("causal", shape)
    exact = dense(q.double(), k.double(), v.double(), 0.25, mask)
    error = (way(q, k, v, 0.25, mask).double() - exact).abs().max()
    assert float(error) <= 8 * 2**-8


@pytest.mark.parametrize("heads", [1, 2, 6])
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_grouped_heads_share_keys_and_values(heads, kv_heads):
    if heads % kv_heads:
        heads = kv_heads
    q, k, v = make((2, heads, kv_heads, 5, 7, 3, 4))
    repeated_k, repeated_v = (x.repeat_interleave(heads // kv_heads, dim=1) for x in (k, v))
    weights = torch.rand(2, heads, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(grouped_scores(q, k), q @ repeated_k.transpose(-1, -2))
    torch.testing.assert_close(grouped_values(weights, v), weights @ repeated_v)
    # Queries from a transposed projection are not contiguous.
    strided = q.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(grouped_scores(strided, k), grouped_scores(q, k))


def test_a_bias_is_added_before_the_mask():
    shape = (2, 4, 2, 7, 7, 8, 8)
    q, k, v = make(shape)
    bias, mask = torch.randn(1, 4, 7, 7, dtype=torch.float64), mask_of("causal", shape)
    found = attend([Piece(q, k, None)], v, scale=0.3, normalizer=Softmax(), mask=mask, bias=bias)
    scores = 0.3 * q @ k.repeat_interleave(2, dim=1).transpose(-1, -2) + bias
    weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)
    torch.testing.assert_close(found, weights @ v.repeat_interleave(2, dim=1))


def test_each_piece_scores_the_pairs_that_it_owns():
    q, k, v = make((1, 2, 2, 7, 7, 8, 8))
    other_q, other_k, _ = make((1, 2, 2, 7, 7, 8, 8))
    far = (torch.arange(7)[:, None] - torch.arange(7) >= 3)[None, None]
    scores = torch.where(far, other_q @ other_k.transpose(-1, -2), q @ k.transpose(-1, -2))
    for owns in (None, ~far):
        pieces = [Piece(q, k, owns), Piece(other_q, other_k, far)]
        found = attend(pieces, v, scale=0.5, normalizer=Softmax())
        torch.testing.assert_close(found, (0.5 * scores).softmax(dim=-1) @ v)


def test_pairs_that_no_piece_owns_are_hidden():
    q, k, v = make((1, 2, 2, 7, 7, 8, 8))
    distance = (torch.arange(7)[:, None] - torch.arange(7))[None, None]
    pieces = [Piece(q, k, distance == 0), Piece(-q, k, distance == 2)]
    found = attend(pieces, v, scale=0.5, normalizer=Softmax(), mask=distance < 5)
    scores = torch.where(distance == 0, q @ k.transpose(-1, -2), -q @ k.transpose(-1, -2))
    hidden = (distance != 0) & (distance != 2)
    torch.testing.assert_close(found, (0.5 * scores).masked_fill(hidden, -torch.inf).softmax(dim=-1) @ v)


def test_without_positions_the_order_of_the_keys_is_lost():
    """Bidirectional attention is blind to a permutation of keys and values; uniform attention is a mean."""
    q, k, v = make((1, 2, 2, 7, 7, 8, 8))
    order = torch.randperm(7)
    torch.testing.assert_close(dense(q, k[:, :, order], v[:, :, order], 0.3, None), dense(q, k, v, 0.3, None))
    causal = mask_of("causal", (1, 2, 2, 7, 7, 8, 8))
    running = v.cumsum(dim=2) / torch.arange(1, 8)[:, None]
    torch.testing.assert_close(dense(0 * q, k, v, 0.3, causal), running, rtol=1e-12, atol=1e-12)
    assert (
        float((dense(q, k[:, :, order], v[:, :, order], 0.3, causal) - dense(q, k, v, 0.3, causal)).abs().max()) > 0.1
    )


def test_causal_attention_has_full_rank():
    """log |det A| = sum_i log A_ii > -inf for a triangular A with a positive diagonal."""
    q, k, _ = make((1, 1, 1, 16, 16, 4, 4))
    identity = torch.eye(16, dtype=torch.float64)[None, None]
    weights = dense(q, k, identity, 0.5, mask_of("causal", (1, 1, 1, 16, 16, 4, 4)))[0, 0]
    sign, logdet = torch.linalg.slogdet(weights)
    assert float(sign) == 1
    torch.testing.assert_close(logdet, weights.diagonal().log().sum())
