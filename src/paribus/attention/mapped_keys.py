"""The cache of a relative-position map that reads all keys: decoding at the price of plain attention.

Keys are stored as the far piece turns them (ReRoPE: not at all), and the last w also as the near piece does, in a ring:
no key is ever turned twice. A query meets one range of keys in each piece, so one token needs one product a piece and
no table of pairs.
"""

import torch
from torch import Tensor

from paribus.attention.attend import grouped_scores, grouped_values
from paribus.attention.caches import KeyValueCache
from paribus.attention.map_keys import ring_width, turn, turn_back
from paribus.attention.ring import from_ring, to_ring
from paribus.normalizers.base import Normalizer
from paribus.positions.base import Position
from paribus.positions.pairs import ChunksBack, Near
from paribus.positions.rotary import Rotary


class MappedKeys(KeyValueCache):
    """keys: as all pieces but the near one turn them. ring: the last w as the near one does, i in slot i mod w."""

    def __init__(
        self,
        batch: int,
        kv_heads: int,
        capacity: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
        position: Position,
    ) -> None:
        super().__init__(batch, kv_heads, capacity, head_dim, dtype, device, position)
        assert isinstance(position, Rotary)
        self.rotary = position
        self.pieces = position.map.causal_pieces()
        self.ring = self.keys.new_zeros(batch, kv_heads, min(ring_width(self.pieces), capacity), head_dim)
        self.move = self.pieces[-1].key

    def append(self, keys: Tensor, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Store the next tokens; return everything stored, keys as they were given."""
        self.store(keys, values, positions)
        kept, values, at = (
            self.keys[:, :, : self.length],
            self.values[:, :, : self.length],
            self.positions[:, : self.length],
        )
        return turn_back(self.rotary, kept, self.move, at), values, at

    def decode(
        self,
        q: Tensor,
        key: Tensor,
        value: Tensor,
        positions: Tensor,
        scale: float,
        normalizer: Normalizer,
        mask: Tensor | None,
    ) -> Tensor | None:
        """Store the next token and attend with it, or do nothing and return None where a table of pairs is needed."""
        if any(isinstance(piece.pairs, ChunksBack) for piece in self.pieces):
            # Chunks begin at absolute positions, which must then be those of the places in all sequences.
            places = torch.arange(self.length, device=q.device)
            here = bool((positions == self.length).all() and (self.positions[:, : self.length] == places).all())
            if mask is not None or not here:
                return None
        self.store(key, value, positions)
        return self._read_one(q, positions, scale, normalizer, mask)

    def store(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        start = self.length
        super().append(turn(self.rotary, keys, self.move, positions), values, positions)
        to_ring(self.ring, keys, start, lambda x, some: turn(self.rotary, x, self.pieces[0].key, positions[:, some]))

    def nbytes(self) -> int:
        return super().nbytes() + self.ring[:, :, : self.length].numel() * self.ring.element_size()

    def _read_one(
        self, q: Tensor, positions: Tensor, scale: float, normalizer: Normalizer, mask: Tensor | None
    ) -> Tensor:
        last = self.length - 1
        parts: dict[int, Tensor] = {}
        for piece in self.pieces:
            span = piece.pairs.span(last)
            assert span is not None
            low, high = span
            if low >= high:
                continue
            turned = self.rotary.rotate(q, piece.query(positions)) * scale
            near = isinstance(piece.pairs, Near)
            slices = from_ring(self.ring, low, high) if near else [self.keys[:, :, low:high]]
            parts[low] = torch.cat([grouped_scores(turned, one) for one in slices], dim=-1)
        scores = torch.cat([parts[low] for low in sorted(parts)], dim=-1)
        return grouped_values(normalizer(scores, mask), self.values[:, :, : self.length])
