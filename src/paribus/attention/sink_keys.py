"""The cache of a map that reads the first few tokens and the last w: a constant size.

The query is turned anew for the sinks, not the sinks for the query: one product for the window, one for the sinks.
"""

import torch
from torch import Tensor

from paribus.attention.caches import KeyValueCache, bytes_of_positions
from paribus.attention.map_keys import count_sinks, ring_width, turn, turn_back
from paribus.attention.one_query import Run, one_query
from paribus.attention.ring import from_ring, last, to_ring
from paribus.normalizers.base import Normalizer
from paribus.positions.base import Position
from paribus.positions.rotary import Rotary


class SinkKeys(KeyValueCache):
    """keys and values: rings of the last w, token i in slot i mod w; sinks: the first few of each sequence."""

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
        self.rotary = position
        self.pieces = position.map.causal_pieces()
        window, sinks = ring_width(self.pieces), count_sinks(self.pieces)
        super().__init__(batch, kv_heads, min(window, capacity), head_dim, dtype, device, position)
        self.endless = capacity >= window
        shape = (batch, kv_heads, min(sinks, capacity), head_dim)
        self.sink_keys, self.sink_values = self.keys.new_zeros(shape), self.keys.new_zeros(shape)
        self.sinks = self.pieces[-1] if sinks > 0 else None
        # After the positions of the ring, for each sink that has come, which token of the text it is, counted from 1: a
        # text need not begin at position 0, nor without padding.
        self.positions = torch.zeros(batch, self.capacity + shape[2], dtype=torch.int64, device=device)

    def room_for(self, n: int) -> int:
        return self.length + n if self.endless else super().room_for(n)

    def nbytes(self) -> int:
        used = self.keys[:, :, : self.length].numel() + self.sink_keys[:, :, : self.length].numel()
        places = min(self.length, self.keys.shape[2]) + min(self.length, self.sink_keys.shape[2])
        return 2 * used * self.keys.element_size() + bytes_of_positions(self.positions, places)

    def append(self, keys: Tensor, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Store the next tokens; return the sinks, what the ring held, and the new ones, keys as they were given.

        Into an empty cache that is the new tokens alone.
        """
        start = self.length
        if start == 0:
            self.store(keys, values, positions)
            return keys, values, positions.expand(len(keys), -1)
        old = torch.arange(max(0, start - self.capacity), start, device=keys.device)
        at = self.positions[:, old % self.capacity]
        old_keys = self.rotary.rotate_back(self.keys[:, :, old % self.capacity], at)
        old_values = self.values[:, :, old % self.capacity]
        self.store(keys, values, positions)
        sinks = torch.arange(self.sink_keys.shape[2], device=keys.device).expand(len(keys), -1)
        sink_keys = self.sink_keys
        if self.sinks is not None:
            sink_keys = turn_back(self.rotary, self.sink_keys, self.sinks.key, sinks)
        return (
            torch.cat((sink_keys, old_keys, keys), dim=2),
            torch.cat((self.sink_values, old_values, values), dim=2),
            torch.cat((sinks, at, positions.expand(len(keys), -1)), dim=1),
        )

    def narrowed(self, mask: Tensor | None, positions: Tensor, k_positions: Tensor, before: int) -> Tensor:
        """The mask of queries at these positions over what `append` returned, when `before` tokens were stored.

        mask: over all tokens of the text, or None: causal. The sinks serve far queries alone, the others near ones.
        """
        n_queries, n_sinks = positions.shape[1], self.sink_keys.shape[2]
        distance = (positions[:, :, None] - k_positions[:, None, :])[:, None]
        index = torch.arange(before + n_queries, device=positions.device)
        if mask is None:
            mask = (index <= index[before:, None])[None, None]
        kept = mask[..., index.shape[0] - (k_positions.shape[1] - n_sinks) :]
        window = ring_width(self.pieces)
        # A query that is padding sees nothing.
        alive = mask[..., before:].diagonal(dim1=-2, dim2=-1)[..., None] & self._shown(mask)
        return torch.cat(
            ((distance[..., :n_sinks] >= window) & alive, (distance[..., n_sinks:] < window) & kept), dim=-1
        )

    def store(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        self.length = self.room_for(keys.shape[2])
        recent = last(self.keys, positions, dim=1)
        to_ring(self.keys, self.rotary.rotate(last(self.keys, keys), recent), self.length)
        to_ring(self.values, last(self.values, values), self.length)
        to_ring(self.positions[:, None, : self.capacity, None], recent[:, None, :, None], self.length)
        positions = positions.expand(len(keys), -1)
        if self.sinks is None or int(positions.min()) >= self.sink_keys.shape[2]:
            return
        for place in range(self.sink_keys.shape[2]):
            # Padding may carry the position 0 as well: the last token at a place is the one that counts.
            here = positions == place
            rows = here.any(dim=1)
            token = keys.shape[2] - 1 - here.flip(1).int().argmax(dim=1)[rows]
            at = torch.full_like(positions[:1, :1], place)
            self.sink_keys[rows, :, place] = turn(self.rotary, keys[rows, :, token][:, :, None], self.sinks.key, at)[
                :, :, 0
            ]
            self.sink_values[rows, :, place] = values[rows, :, token]
            self.positions[rows, self.capacity + place] = self.length - keys.shape[2] + 1 + token

    @property
    def _come(self) -> Tensor:
        """Which sinks are stored, (batch, 1, 1, sinks)."""
        return self.positions[:, None, None, self.capacity :] > 0

    def _shown(self, mask: Tensor) -> Tensor:
        """Which of them a mask over all tokens of the text shows, (batch, heads or 1, queries, sinks)."""
        tokens = (self.positions[:, None, None, self.capacity :] - 1).clamp_min(0)
        mask = mask.expand(len(tokens), -1, -1, -1)
        return mask.gather(-1, tokens.expand(*mask.shape[:3], -1)) & self._come

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
        """Store the next token and attend with it."""
        self.store(key, value, positions)
        window, newest = ring_width(self.pieces), self.length - 1
        low = max(0, self.length - window)
        turned = self.rotary.rotate(q, positions)
        held = zip(from_ring(self.keys, low, newest + 1), from_ring(self.values, low, newest + 1), strict=True)
        runs = [Run(turned, *one) for one in held]
        seen = None if mask is None else mask[..., low:]
        if self.sinks is not None:
            far = self.rotary.rotate(q, positions, self.sinks.query)
            runs.append(Run(far, self.sink_keys, self.sink_values))
            places = torch.arange(self.sink_keys.shape[2], device=q.device)
            beyond = ((positions[:, :, None] - places) >= window)[:, None]
            if seen is None:
                seen = torch.ones(1, 1, 1, newest + 1 - low, dtype=torch.bool, device=q.device)
            there = beyond & (self._come if mask is None else self._shown(mask) & mask[..., -1:])
            batch = max(len(there), len(seen))
            seen = torch.cat((seen.expand(batch, -1, -1, -1), there.expand(batch, seen.shape[1], -1, -1)), dim=-1)
        return one_query(runs, scale=scale, normalizer=normalizer, mask=seen)
