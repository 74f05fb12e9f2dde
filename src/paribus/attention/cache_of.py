"""Which cache a position code decodes with, and what it holds and costs."""

from collections.abc import Sequence

from paribus.attention.caches import KeyValueCache, RawKeys, RotatedKeys
from paribus.attention.map_keys import count_sinks, ring_width
from paribus.attention.mapped_keys import MappedKeys
from paribus.attention.sink_keys import SinkKeys
from paribus.positions.base import Position
from paribus.positions.maps.base import MapPiece
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
        return 2 * length + min(length, ring_width(pieces))
    return 2 * (min(length, ring_width(pieces)) + min(length, count_sinks(pieces)))


def placed(position: Position, length: int) -> int:
    """How many positions the cache holds beside them."""
    if not position.reads_key_positions:
        return 0
    if cache_of(position) is not SinkKeys:
        return length
    assert isinstance(position, Rotary)
    pieces = position.map.causal_pieces()
    return min(length, ring_width(pieces)) + min(length, count_sinks(pieces))


def scored(position: Position, length: int) -> int:
    """How many keys of a head the decoding step of token number `length` scores; of sinks the places that wait too."""
    if cache_of(position) is not SinkKeys:
        return length
    assert isinstance(position, Rotary)
    pieces = position.map.causal_pieces()
    return min(length, ring_width(pieces)) + count_sinks(pieces)


def _bounded(pieces: Sequence[MapPiece]) -> bool:
    return all(piece.pairs.reach is not None or piece.pairs.earliest is not None for piece in pieces)
