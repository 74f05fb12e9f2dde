"""The cache of a relative-position map that reads all keys: decoding at the price of plain attention.

Keys are stored as the far piece turns them (ReRoPE: not at all), and the last w also as the near piece does, in a ring:
no key is ever turned twice. A query meets one range of keys in each piece, so one token reads each key once and needs
no table of pairs.
"""

import torch
from torch import Tensor

from paribus.attention.caches import KeyValueCache
from paribus.attention.map_keys import ring_width, turn, turn_back
from paribus.attention.one_query import Run, one_query
from paribus.attention.ring import from_ring, last, to_ring
from paribus.normalizers.base import Normalizer
from paribus.positions.base import Position
from paribus.positions.pairs import ChunksBack, Near
from paribus.positions.rotary import Rotary


class MappedKeys(KeyValueCache):
    """keys: as all pieces but the near one turn them. ring: the last w as the near one does, i in slot i mod w."""

    positions: Tensor

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
        assert isinstance(position, Rotary)
        super().__init__(batch, kv_heads, capacity, head_dim, dtype, device, position)
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
        super().append(turn(self.rotary, keys, self.move, positions), values, positions)
        if self.ring.shape[2] == 0:
            return
        recent, at = last(self.ring, keys), last(self.ring, positions, dim=1)
        to_ring(self.ring, turn(self.rotary, recent, self.pieces[0].key, at), self.length)

    def nbytes(self) -> int:
        return super().nbytes() + self.ring[:, :, : self.length].numel() * self.ring.element_size()

    def _read_one(
        self, q: Tensor, positions: Tensor, scale: float, normalizer: Normalizer, mask: Tensor | None
    ) -> Tensor:
        newest = self.length - 1
        runs: dict[int, Run] = {}
        for piece in self.pieces:
            span = piece.pairs.span(newest)
            assert span is not None
            low, high = span
            if low >= high:
                continue
            turned = self.rotary.rotate(q, positions, piece.query)
            near = isinstance(piece.pairs, Near)
            for keys in from_ring(self.ring, low, high) if near else [self.keys[:, :, low:high]]:
                runs[low] = Run(turned, keys, self.values[:, :, low : low + keys.shape[2]])
                low += keys.shape[2]
        return one_query([runs[low] for low in sorted(runs)], scale=scale, normalizer=normalizer, mask=mask)
