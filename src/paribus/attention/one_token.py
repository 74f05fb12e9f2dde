"""The attention of one query over all keys as they are, under a map of distances: each piece turns the keys it owns.

A cache of another library holds raw keys and lets nothing be kept beside them. Turned whole for every piece they cost
several times a plain step; so a piece turns its own range only, and none where it leaves keys as they are (ReRoPE's
far piece). MappedKeys and SinkKeys turn no key twice.
"""

from torch import Tensor

from paribus.attention.one_query import Run, one_query
from paribus.normalizers.base import Normalizer
from paribus.positions.base import Position
from paribus.positions.maps.base import At
from paribus.positions.pairs import ChunksBack
from paribus.positions.rotary import Rotary


def one_token(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    position: Position,
    q_positions: Tensor,
    k_positions: Tensor,
    scale: float,
    normalizer: Normalizer,
    mask: Tensor | None,
) -> Tensor | None:
    """Raw q (batch, heads, 1, head_dim), the last token, over raw k and v; None where the dense evaluator is needed.

    mask: (batch or 1, 1, 1, n_keys), or None where all are seen.
    """
    if not isinstance(position, Rotary) or position.separable or position.scaling.changes or q.shape[2] != 1:
        return None
    n_keys = k.shape[2]
    runs: dict[int, Run] = {}
    for piece in position.map.causal_pieces():
        span = None if isinstance(piece.pairs, ChunksBack) else piece.pairs.span(n_keys - 1)
        if span is None:
            return None
        low, high = span
        if low >= high:
            continue
        keys = k[:, :, low:high]
        if piece.key is not None or position.scaling.magnitude != 1.0:
            keys = position.rotate(keys, (piece.key or At(0))(k_positions[:, low:high]))
        query = position.rotate(q, q_positions, piece.query)
        runs[low] = Run(query, keys, v[:, :, low:high])
    if sum(run.keys.shape[2] for run in runs.values()) != n_keys:  # of a map that hides some
        return None
    return one_query([runs[low] for low in sorted(runs)], scale=scale, normalizer=normalizer, mask=mask)
