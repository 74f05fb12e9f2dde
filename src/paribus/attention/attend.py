"""Attention as it is written: scores from pieces, bias, mask, normalizer, weighted values. The dense reference.

    s(h, m, n) = c <query_p(q, m), key_p(k, n)> + bias(h, m, n),   p the piece that owns the pair (m, n)
    o(h, m)    = sum_n normalize(s(h, m, .))_n v(h, n)

Grouped heads share keys and values without copying them: the queries of one group are stacked along the length.
"""

from torch import Tensor

from paribus.normalizers.base import Normalizer
from paribus.positions.base import Piece


def grouped_scores(q: Tensor, k: Tensor) -> Tensor:
    """<q, k> with n_kv_heads dividing n_heads: (batch, heads, n_queries, n_keys)."""
    batch, heads, n_queries, head_dim = q.shape
    groups = k.shape[1]
    stacked = q.reshape(batch, groups, heads // groups * n_queries, head_dim)
    return (stacked @ k.transpose(-1, -2)).view(batch, heads, n_queries, k.shape[2])


def grouped_values(weights: Tensor, v: Tensor) -> Tensor:
    """sum_n weights v: (batch, heads, n_queries, value_dim)."""
    batch, heads, n_queries, n_keys = weights.shape
    groups = v.shape[1]
    stacked = weights.reshape(batch, groups, heads // groups * n_queries, n_keys)
    return (stacked @ v).view(batch, heads, n_queries, v.shape[-1])


def attend(
    pieces: list[Piece],
    values: Tensor,
    *,
    scale: float,
    normalizer: Normalizer,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Dense attention, (batch, heads, n_queries, value_dim).

    values (batch, kv_heads, n_keys, value_dim); mask and bias broadcast to (batch, heads, n_queries, n_keys). Where
    the first piece says what it owns, pairs that no piece owns are hidden.
    """
    scores = grouped_scores(pieces[0].query * scale, pieces[0].key)
    seen = pieces[0].owns
    for piece in pieces[1:]:
        assert piece.owns is not None
        scores = scores.where(~piece.owns, grouped_scores(piece.query * scale, piece.key))
        seen = None if seen is None else seen | piece.owns
    if seen is not None:
        mask = seen if mask is None else mask & seen
    if bias is not None:
        scores = scores + bias
    # A bias of more bits than the scores has widened them.
    return grouped_values(normalizer(scores, mask).to(values.dtype), values)
