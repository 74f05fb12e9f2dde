"""A method of extension: another rewrite of the frequencies, another map of distances, another scale of the scores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from paribus.attention.scales.base import Scale
from paribus.core.errors import InputError
from paribus.positions.maps.base import PositionMap
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.base import Scaling

Change = Scaling | PositionMap | Scale | Rotary


@dataclass(frozen=True)
class Reading:
    """How the heads of a model read: positions, and the scale of the scores where it is changed (None: as trained)."""

    position: Rotary
    scale: Scale | None = None

    @property
    def rewrites_only(self) -> bool:
        """True when a checkpoint can say it: fixed frequencies, and nothing else."""
        return self.position.separable and self.scale is None


def changed(trained: Rotary, *changes: Change) -> Reading:
    """The trained reading with the changes, each of a kind of its own. Raises InputError for two of one kind."""
    if not changes:
        raise InputError("no method is given: name a scaling, a map or a scale, such as ReRoPE(window=2048)")
    reading = Reading(trained)
    kinds: list[str] = []
    for change in changes:
        match change:
            case Rotary():
                if change.pairing != trained.pairing:
                    raise InputError(
                        f"{change.pairing!r} turns other pairs than the model was trained with, {trained.pairing!r}: "
                        "take its pairing, as in Rotary(pairing=...)"
                    )
                kind, reading = "position", replace(reading, position=change)
            case Scaling():
                kind, reading = "scaling", replace(reading, position=replace(reading.position, scaling=change))
            case PositionMap():
                kind, reading = "map", replace(reading, position=replace(reading.position, map=change))
            case Scale():
                kind, reading = "scale", replace(reading, scale=change)
            case _:
                raise InputError(
                    f"{change!r} is no method of extension: expected a scaling, a map of distances, a scale or a Rotary"
                )
        if kind in kinds:
            raise InputError(f"{type(change).__name__} is the second {kind} that is given: give one of each kind")
        kinds.append(kind)
    return reading


def check_reach(changes: Sequence[Change], trained: int) -> None:
    """Raise InputError for a map of distances whose window is longer than the trained length."""
    for change in changes:
        part = change.map if isinstance(change, Rotary) else change
        window = getattr(part, "window", 0) if isinstance(part, PositionMap) else 0
        if window > trained:
            raise InputError(
                f"{part!r}: its window is longer than the {trained} tokens that the model was trained at, so that it "
                f"reads untrained distances: take at most {trained}, usually a quarter to a half of it"
            )
