"""How a model reads at a length, as trained and with a method: rows of one table, all from the same texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paribus.core.errors import InputError
from paribus.evaluation.distance_probe import distance_probe
from paribus.evaluation.growing_context import growing_context
from paribus.evaluation.reader import Reader
from paribus.evaluation.retrieval import Fact, needle, pass_key, retrieve
from paribus.tokenizer.base import Codec

HALF = 640  # tokens of each half of the distance probe
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Curve:
    """A measure against distance or context, one value a place, averaged over the texts."""

    reader: str
    kind: str  # "distance" or "context"
    at: tuple[int, ...]
    loss: tuple[float, ...]  # nats per token
    alone: float | None = None  # without any context, for the distance probe


@dataclass(frozen=True)
class Depths:
    """Facts found, by depth."""

    reader: str
    kind: str  # "pass key" or "needle"
    length: int
    depths: tuple[float, ...]
    found: tuple[bool, ...]
    loss: tuple[float, ...]  # nats per token of the answer


def pieces(texts: Sequence[Tensor], count: int, length: int) -> list[Tensor]:
    """`count` stretches of `length` tokens, spread over the texts, from each its beginning first."""
    found = [
        text[at : at + length]
        for at in _starts(max(map(len, texts), default=0), length)
        for text in texts
        if at + length <= len(text)
    ]
    if not found:
        longest = max(map(len, texts), default=0)
        raise InputError(
            f"the longest text has {longest} tokens, {length} are needed: give longer texts with --evaluate"
        )
    return found[:count]


def check_lengths(texts: Sequence[Tensor], last: int, longest: int) -> None:
    """Raise InputError, before anything is read, for texts that `contexts` cannot score."""
    shortest = min(map(len, texts))
    if shortest <= longest:
        raise InputError(
            f"a text has {shortest} tokens, contexts up to {longest} need {longest + 1}: give a longer text with "
            "--evaluate, or a shorter --to"
        )
    if not 1 <= last < longest:
        raise InputError(f"--last {last}: expected 1 to {longest - 1} final tokens, fewer than --to")


def _starts(longest: int, length: int) -> range:
    return range(0, max(1, longest), length)


def probe(
    readers: dict[str, Reader],
    texts: Sequence[Tensor],
    distances: Sequence[int],
    tell: Tell,
    half: int = HALF,
    begin: Sequence[int] = (),
) -> list[Curve]:
    """The distance probe of every reader, averaged over the texts."""
    curves = []
    for name, read in readers.items():
        probes = []
        for number, text in enumerate(texts, 1):
            tell(f"{name}: distance probe, text {number} of {len(texts)}")
            probes.append(distance_probe(read, text, distances, half, begin))
        mean = [sum(one.at[d] for one in probes) / len(probes) for d in distances]
        alone = sum(one.alone for one in probes) / len(probes)
        curves.append(Curve(name, "distance", tuple(distances), tuple(mean), alone))
    return curves


def contexts(
    readers: dict[str, Reader],
    texts: Sequence[Tensor],
    at: Sequence[int],
    last: int,
    tell: Tell,
    begin: Sequence[int] = (),
) -> list[Curve]:
    """Loss on the same last tokens under a growing context, averaged over the texts."""
    curves = []
    for name, read in readers.items():
        sums = dict.fromkeys(sorted(at), 0.0)
        for number, text in enumerate(texts, 1):

            def told(context: int, loss: float, name: str = name, number: int = number) -> None:
                tell(f"{name}: text {number} of {len(texts)}, context {context}: {loss:.3f}")

            for context, loss in growing_context(read, text, at, last, told, begin).items():
                sums[context] += loss / len(texts)
        curves.append(Curve(name, "context", tuple(sums), tuple(sums.values())))
    return curves


def retrieval(
    readers: dict[str, Reader],
    codec: Codec,
    length: int,
    text: Tensor | None,
    tell: Tell,
    seed: int = 0,
    begin: Sequence[int] = (),
    device: torch.device | str = "cpu",
) -> list[Depths]:
    """Pass key in filler, and a needle in the text where one is given, at five depths."""
    rows = []
    kinds: list[tuple[str, Fact, Tensor | None]] = [("pass key", pass_key(seed), None)]
    if text is not None:
        kinds.append(("needle", needle(seed), text))
    for name, read in readers.items():
        for kind, fact, hay in kinds:
            tell(f"{name}: {kind} at length {length}")
            with torch.no_grad():
                results = [retrieve(read, codec, fact, length, depth, hay, begin, device) for depth in DEPTHS]
            rows.append(
                Depths(
                    name, kind, length, DEPTHS, tuple(one.found for one in results), tuple(one.loss for one in results)
                )
            )
    return rows
