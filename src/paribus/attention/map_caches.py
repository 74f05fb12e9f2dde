"""Caches of relative-position maps, which decode a token at the price of plain attention.

    MappedKeys   keys as the far piece turns them (ReRoPE: not at all), and the last w also as the near piece does, in a
                 ring: no key is ever turned twice
    SinkKeys     the first few and the last w keys and values alone: a constant size; the query is turned anew for the
                 sinks instead of the sinks for the query

A query meets one range of keys in each piece, so one token needs one product a piece and no table of pairs.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from paribus.attention.attend import grouped_scores, grouped_values
from paribus.attention.caches import KeyValueCache, RawKeys, RotatedKeys
from paribus.normalizers.base import Normalizer
from paribus.positions.base import Position
from paribus.positions.maps.base import At, MapPiece, Move
from paribus.positions.pairs import ChunksBack, Near, Sinks
from paribus.positions.rotary import Rotary


def cache_of(position: Position) -> type[KeyValueCache]:
    """The type of cache that a position code decodes with."""
    if position.separable:
        return RotatedKeys
    if not isinstance(position, Rotary) or position.map.is_identity:
        return RawKeys
    return SinkKeys if _bounded(position.map.causal_pieces()) else MappedKeys


def stored(position: Position, length: int) -> int:
    """How many vectors of keys and values a head of the cache holds after so many tokens."""
    kind = cache_of(position)
    if kind not in (MappedKeys, SinkKeys):
        return 2 * length
    assert isinstance(position, Rotary)
    pieces = position.map.causal_pieces()
    if kind is MappedKeys:
        return 2 * length + min(length, _window(pieces))
    return 2 * (min(length, _window(pieces)) + min(length, _n_sinks(pieces)))


def scored(position: Position, length: int) -> int:
    """How many keys of a head the decoding step of token number `length` scores; of sinks the places that wait too."""
    if cache_of(position) is not SinkKeys:
        return length
    assert isinstance(position, Rotary)
    pieces = position.map.causal_pieces()
    return min(length, _window(pieces)) + _n_sinks(pieces)


def _bounded(pieces: list[MapPiece]) -> bool:
    return all(piece.pairs.reach is not None or piece.pairs.earliest is not None for piece in pieces)


def _window(pieces: list[MapPiece]) -> int:
    """The width of the ring; 0 where the near piece turns keys as the others do."""
    return next((piece.pairs.width for piece in pieces if isinstance(piece.pairs, Near)), 0)


def _n_sinks(pieces: list[MapPiece]) -> int:
    return next((piece.pairs.count for piece in pieces if isinstance(piece.pairs, Sinks)), 0)


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
        self.ring = self.keys.new_zeros(batch, kv_heads, min(_window(self.pieces), capacity), head_dim)
        self.move = self.pieces[-1].key

    def append(self, keys: Tensor, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Store the next tokens; return everything stored, keys as they were given."""
        self.store(keys, values, positions)
        kept, values, at = (
            self.keys[:, :, : self.length],
            self.values[:, :, : self.length],
            self.positions[:, : self.length],
        )
        return _turned_back(self.rotary, kept, self.move, at), values, at

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
        super().append(_turned(self.rotary, keys, self.move, positions), values, positions)
        _to_ring(
            self.ring, keys, start, lambda x, some: _turned(self.rotary, x, self.pieces[0].key, positions[:, some])
        )

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
            slices = _from_ring(self.ring, low, high) if near else [self.keys[:, :, low:high]]
            parts[low] = torch.cat([grouped_scores(turned, one) for one in slices], dim=-1)
        scores = torch.cat([parts[low] for low in sorted(parts)], dim=-1)
        return grouped_values(normalizer(scores, mask), self.values[:, :, : self.length])


class SinkKeys(KeyValueCache):
    """keys and values: rings of the last w, token i in slot i mod w; sinks: the first few of each sequence."""

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
        window, sinks = _window(self.pieces), _n_sinks(self.pieces)
        super().__init__(batch, kv_heads, min(window, capacity), head_dim, dtype, device, position)
        self.endless = capacity >= window
        shape = (batch, kv_heads, min(sinks, capacity), head_dim)
        self.sink_keys, self.sink_values = self.keys.new_zeros(shape), self.keys.new_zeros(shape)
        self.sinks = self.pieces[-1] if sinks > 0 else None
        # After the positions of the ring, a 1 for each sink that has come: a text need not begin at position 0.
        self.positions = torch.zeros(batch, self.capacity + shape[2], dtype=torch.int64, device=device)

    def room_for(self, n: int) -> int:
        return self.length + n if self.endless else super().room_for(n)

    def nbytes(self) -> int:
        used = self.keys[:, :, : self.length].numel() + self.sink_keys[:, :, : self.length].numel()
        return 2 * used * self.keys.element_size()

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
            sink_keys = _turned_back(self.rotary, self.sink_keys, self.sinks.key, sinks)
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
        window = _window(self.pieces)
        # A query that is padding sees nothing.
        alive = mask[..., before:].diagonal(dim1=-2, dim2=-1)[..., None] & self._come
        return torch.cat(
            ((distance[..., :n_sinks] >= window) & alive, (distance[..., n_sinks:] < window) & kept), dim=-1
        )

    def store(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        start, self.length = self.length, self.room_for(keys.shape[2])
        positions = positions.expand(len(keys), -1)
        _to_ring(self.keys, keys, start, lambda x, some: self.rotary.rotate(x, positions[:, some]))
        _to_ring(self.values, values, start)
        _to_ring(self.positions[:, None, : self.capacity, None], positions[:, None, :, None], start)
        if self.sinks is None or int(positions.min()) >= self.sink_keys.shape[2]:
            return
        for place in range(self.sink_keys.shape[2]):
            # Padding may carry the position 0 as well: the last token at a place is the one that counts.
            here = positions == place
            rows = here.any(dim=1)
            token = keys.shape[2] - 1 - here.flip(1).int().argmax(dim=1)[rows]
            at = torch.full_like(positions[:1, :1], place)
            self.sink_keys[rows, :, place] = _turned(self.rotary, keys[rows, :, token][:, :, None], self.sinks.key, at)[
                :, :, 0
            ]
            self.sink_values[rows, :, place] = values[rows, :, token]
            self.positions[rows, self.capacity + place] = 1

    @property
    def _come(self) -> Tensor:
        """Which sinks are stored, (batch, 1, 1, sinks)."""
        return self.positions[:, None, None, self.capacity :] > 0

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
        window, last = _window(self.pieces), self.length - 1
        low = max(0, self.length - window)
        turned = self.rotary.rotate(q, positions) * scale
        slices = _from_ring(self.keys, low, last + 1)
        scores = [grouped_scores(turned, one) for one in slices]
        values = _from_ring(self.values, low, last + 1)
        seen = None if mask is None else mask[..., low:]
        if self.sinks is not None:
            far = self.rotary.rotate(q, self.sinks.query(positions)) * scale
            scores.append(grouped_scores(far, self.sink_keys))
            values.append(self.sink_values)
            places = torch.arange(self.sink_keys.shape[2], device=q.device)
            there = ((positions[:, :, None] - places) >= window)[:, None] & self._come
            if seen is None:
                seen = torch.ones(1, 1, 1, last + 1 - low, dtype=torch.bool, device=q.device)
            else:
                there = there & seen[..., -1:]
            batch = max(len(there), len(seen))
            seen = torch.cat((seen.expand(batch, -1, -1, -1), there.expand(batch, seen.shape[1], -1, -1)), dim=-1)
        weights = normalizer(torch.cat(scores, dim=-1), seen)
        parts = weights.split([one.shape[2] for one in values], dim=-1)
        return torch.stack([grouped_values(w, one) for w, one in zip(parts, values, strict=True)]).sum(dim=0)


def _turned(rotary: Rotary, x: Tensor, move: Move | None, positions: Tensor) -> Tensor:
    """Keys as a piece turns them."""
    if move is None and rotary.scaling.magnitude == 1.0:
        return x
    return rotary.rotate(x, (move or At(0))(positions))


def _turned_back(rotary: Rotary, x: Tensor, move: Move | None, positions: Tensor) -> Tensor:
    if move is None and rotary.scaling.magnitude == 1.0:
        return x
    return rotary.rotate_back(x, (move or At(0))(positions))


def _to_ring(ring: Tensor, x: Tensor, start: int, turn: Callable[[Tensor, slice], Tensor] | None = None) -> None:
    """Write the tokens start, start + 1, ... of x, the last ones that the ring has room for."""
    n, size = x.shape[2], ring.shape[2]
    if size == 0:
        return
    some = slice(max(0, n - size), n)
    slots = torch.arange(start + some.start, start + n, device=x.device) % size
    ring[:, :, slots] = x[:, :, some] if turn is None else turn(x[:, :, some], some)


def _from_ring(ring: Tensor, low: int, high: int) -> list[Tensor]:
    """The tokens low .. high - 1 in order, as one or two views."""
    size, count = ring.shape[2], high - low
    first = low % size
    head = ring[:, :, first : first + count]
    return [head] if head.shape[2] == count else [head, ring[:, :, : count - head.shape[2]]]
