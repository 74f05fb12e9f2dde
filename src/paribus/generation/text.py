"""From prompts to text, as it comes: whole characters only, and nothing of a stop string."""

import codecs
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch

from paribus.core.errors import InputError
from paribus.generation.generate import NONE, Stream
from paribus.generation.samplers.base import Sampler
from paribus.models.decoder import DecoderLM
from paribus.models.mixture import Mixture
from paribus.tokenizer.base import Codec


class Piece(NamedTuple):
    """What one row has just become longer by."""

    row: int
    text: str
    finished: Literal["", "end", "stop", "length"]  # why the row ended here: an end token, a stop string, the budget


class Completion(NamedTuple):
    text: str
    finished: str


class Tail:
    """The text of one row: bytes in, text out that no later byte can change and that holds no stop string."""

    def __init__(self, stop: Sequence[str]) -> None:
        self.stop = stop
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.held = ""  # may be the beginning of a stop string
        self.stopped = False

    def add(self, data: bytes, final: bool = False) -> str:
        self.held += self.decoder.decode(data, final)
        found = [place for word in self.stop if (place := self.held.find(word)) >= 0]
        if found:
            self.stopped = True
            told, self.held = self.held[: min(found)], ""
            return told
        keep = 0 if final else max((_overlap(self.held, word) for word in self.stop), default=0)
        told, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        return told


def _overlap(text: str, word: str) -> int:
    """The length of the longest end of `text` that begins `word`."""
    return next((n for n in range(min(len(text), len(word) - 1), 0, -1) if text.endswith(word[:n])), 0)


def write(
    model: DecoderLM | Mixture,
    tokenizer: Codec,
    prompts: Sequence[str],
    max_new_tokens: int,
    sampler: Sampler | None = None,
    seed: int = 0,
    stop: Sequence[str] = (),
    end: Sequence[int] = (),
    chunk: int = 512,
    begin: Sequence[int] = (),
) -> Iterator[Piece]:
    """Go on from each prompt; pieces of all rows come as they are known, each row's last one says why it ended.

    end: tokens after which a text is over, not told. begin: tokens that the model reads before every prompt.
    """
    for prompt in prompts:
        if not prompt:
            raise InputError("the prompt is empty: give at least one character")
    if "" in stop:
        raise InputError("a stop string is empty: it would stop everything; leave it out")
    ids = [torch.tensor([*begin, *tokenizer.encode(prompt.encode()).tolist()]) for prompt in prompts]
    stream = Stream(model, ids, max_new_tokens, sampler, seed, end, chunk)
    return _pieces(stream, tokenizer, [Tail(stop) for _ in prompts], frozenset(end))


def _pieces(stream: Stream, tokenizer: Codec, tails: list[Tail], end: frozenset[int]) -> Iterator[Piece]:
    running = set(range(len(tails)))
    for tokens in stream:
        for row, token in enumerate(tokens.tolist()):
            if token == NONE:
                continue
            tail = tails[row]
            text = tail.add(b"", final=True) if token in end else tail.add(tokenizer.decode([token]))
            finished: Literal["", "end", "stop"] = "stop" if tail.stopped else "end" if token in end else ""
            if finished:
                stream.finish(row)
                running.discard(row)
            if text or finished:
                yield Piece(row, text, finished)
    for row in sorted(running):
        text = tails[row].add(b"", final=True)
        yield Piece(row, text, "stop" if tails[row].stopped else "length")


def complete(
    model: DecoderLM | Mixture,
    tokenizer: Codec,
    prompts: Sequence[str],
    max_new_tokens: int,
    sampler: Sampler | None = None,
    seed: int = 0,
    stop: Sequence[str] = (),
    end: Sequence[int] = (),
    chunk: int = 512,
    begin: Sequence[int] = (),
) -> list[Completion]:
    """The whole texts, one for each prompt."""
    texts, why = [""] * len(prompts), [""] * len(prompts)
    pieces = write(model, tokenizer, prompts, max_new_tokens, sampler, seed, stop, end, chunk, begin)
    for row, text, finished in pieces:
        texts[row] += text
        why[row] = finished
    return [Completion(text, reason) for text, reason in zip(texts, why, strict=True)]
