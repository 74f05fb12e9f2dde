"""Causal softmax attention of positions with several pieces, under a window or beside padding, without an n x n table.

Each sequence of a batch is taken from its first valid token on; sequences of equal padding go together. Where a program
of this kind does not fit (another normalizer, an additive bias, positions with gaps) the answer is None.
"""

import torch
from torch import Tensor

from paribus.attention.backends import DENSE_UP_TO, NATIVE_FROM
from paribus.attention.layout import Layout
from paribus.attention.programs import tell
from paribus.normalizers.base import Normalizer
from paribus.normalizers.softmax import Softmax
from paribus.ops import kernels
from paribus.ops.merge import merged_attention, spans_of
from paribus.positions.base import Position
from paribus.positions.no_position import NoPosition

KERNEL, TILES = "all pieces at once by our kernel", "tiles of each piece, joined row by row"
MANY_QUERIES = 64  # fewer of them do not pay for the order in which our kernel wants the keys


def piecewise(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    position: Position,
    q_positions: Tensor,
    k_positions: Tensor | None,
    layout: Layout | None,
    scale: float,
    normalizer: Normalizer,
    keys_rotated: bool = False,
) -> Tensor | None:
    """Attention of raw q over raw k and v, the queries being the last tokens; rows of padding are zeros.

    keys_rotated: k comes from a cache of rotated keys. k_positions: None of such a cache, which keeps none.
    """
    if layout is None or not isinstance(normalizer, Softmax) or q.shape[2] == 1 or kernels.counted():
        return None
    batch, n_queries, n_keys = len(q), q.shape[2], k.shape[2]
    paddings = layout.padding(batch)
    if position.separable and _for_one_rotation(position, layout, paddings, q, k, v):
        q = position.rotate(q, q_positions)
        k = k if keys_rotated or k_positions is None else position.rotate_key(k, k_positions)
        position, k_positions = NoPosition(), torch.arange(n_keys, device=k.device)[None]
        q_positions = k_positions[:, n_keys - n_queries :]
    elif keys_rotated or k_positions is None or not _fits(position, layout, q, k, v):
        return None
    if not _consecutive(q_positions, k_positions, paddings):
        return None
    firsts = k_positions.expand(batch, -1)
    groups: dict[tuple[int, int], list[int]] = {}
    for row, padding in enumerate(paddings):
        if padding < n_keys:
            groups.setdefault((padding, int(firsts[row, padding])), []).append(row)
    found, ways = [], set()
    for (padding, first), rows in groups.items():
        hidden = max(0, padding - (n_keys - n_queries))  # queries that are padding
        some = slice(None) if len(rows) == batch else rows
        part_q, part_k, part_v = q[some, :, hidden:], k[some, :, padding:], v[some, :, padding:]
        at = torch.arange(first, first + part_k.shape[2], device=q.device)[None]
        q_at = at if part_q.shape[2] == part_k.shape[2] else at[:, -part_q.shape[2] :]
        shares = position.shares(part_q, part_k, q_at, at, first, layout.window)
        if shares is None:
            return None
        ways.add(KERNEL if spans_of(shares, part_q, part_k, part_v) is not None else TILES)
        found.append((rows, hidden, merged_attention(part_q, part_k, part_v, shares, scale)))
    for way in sorted(ways):
        tell(f"piecewise: {way}, and no table of all pairs", q, k, v)
    if len(found) == 1 and len(found[0][0]) == batch and found[0][1] == 0:
        return found[0][2]
    out = torch.zeros_like(q)
    for rows, hidden, part in found:
        out[rows, :, hidden:] = part
    return out


def _consecutive(q_positions: Tensor, k_positions: Tensor, paddings: list[int]) -> bool:
    """Do keys stand at one position after the other, from the first valid one, and queries at the last of them?"""
    n_queries, n_keys = q_positions.shape[1], k_positions.shape[1]
    if q_positions is not k_positions and not torch.equal(
        *torch.broadcast_tensors(q_positions, k_positions[:, n_keys - n_queries :])
    ):
        return False
    index = torch.arange(1, n_keys, device=k_positions.device)
    padded = index <= torch.tensor(paddings, device=k_positions.device)[:, None]
    return bool(((k_positions.diff(dim=1) == 1) | padded).all())


def _fits(position: Position, layout: Layout, q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Does this program fit, as far as parts and shapes tell, and win over dense scores and fused kernels?"""
    return (
        (not position.separable or layout.window is not None)
        and q.shape[-1] == k.shape[-1] == v.shape[-1]
        and k.shape[2] > DENSE_UP_TO
    )


def _for_one_rotation(position: Position, layout: Layout, paddings: list[int], q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Does our kernel take what torch's needs a table of all pairs for, and win?"""
    plain = layout.window is None and q.shape[2] == k.shape[2] and not any(paddings)
    return (
        not plain
        and not position.has_bias
        and q.shape[2] >= MANY_QUERIES
        and k.shape[2] >= NATIVE_FROM
        and kernels.attends(q, k, v)
    )
