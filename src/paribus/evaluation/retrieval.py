"""Find one fact in a long text: the pass key among repeated filler, the needle in natural text, by depth.

The answer is read, not generated: it counts as found when each of its tokens is the most likely one after those before
it, which is what greedy generation would write; the loss of its tokens says how near a miss was.
Sources: Mohtashami and Jaggi, Landmark Attention, arXiv:2305.16300 (pass key); Kamradt, Needle in a Haystack, 2023.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.core.errors import InputError
from paribus.core.seed import generator
from paribus.evaluation.reader import Reader
from paribus.tokenizer.base import Codec

FILLER = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "


class Fact(NamedTuple):
    """What is hidden, what is asked at the end, and what follows it."""

    statement: str
    question: str
    answer: str


class Found(NamedTuple):
    found: bool
    loss: float  # nats per token of the answer


def pass_key(seed: int) -> Fact:
    """A number of five digits, another one for each seed."""
    key = str(generator(seed, "pass key").integers(10_000, 100_000))
    return Fact(
        f"The pass key is {key}. Remember it. {key} is the pass key. ",
        "What is the pass key? The pass key is",
        f" {key}",
    )


def needle(seed: int) -> Fact:
    """A sentence about a city and a food, in the manner of the needle test."""
    draw = generator(seed, "needle")
    city = ("Lisbon", "Kyoto", "Chicago", "Nairobi", "Oslo", "Lima")[draw.integers(6)]
    food = ("a sandwich", "soup", "rice", "bread", "an apple", "cheese")[draw.integers(6)]
    return Fact(
        f"The best thing to do in {city} is to eat {food} in the park. ",
        f"The best thing to do in {city} is to eat",
        f" {food}",
    )


def retrieve(
    read: Reader,
    codec: Codec,
    fact: Fact,
    length: int,
    depth: float,
    text: Sequence[int] | Tensor | None = None,
    begin: Sequence[int] = (),
    device: torch.device | str = "cpu",
) -> Found:
    """Hide the fact at `depth` (0: at the beginning, 1: right before the question) of a text of `length` tokens.

    text: the ids of a natural text to hide it in; by default filler that repeats. begin: tokens that the model reads
    before every text, counted in `length`. Raises InputError when `length` is too short for the fact, or the text too
    short for `length`.
    """
    if not 0 <= depth <= 1:
        raise InputError(f"depth = {depth}: expected 0 (beginning) to 1 (end)")

    def ids(words: str) -> list[int]:
        return [int(token) for token in codec.encode(words.encode())]

    statement, question, answer = ids(" " + fact.statement), ids("\n" + fact.question), ids(fact.answer)
    room = length - len(begin) - len(statement) - len(question) - len(answer)
    if room < 0:
        raise InputError(f"{length} tokens have no room for the fact and its question: at least {length - room}")
    if text is None:
        unit = ids(FILLER)
        hay = (unit * (room // len(unit) + 1))[:room]
    else:
        hay = [int(token) for token in text[:room]]
        if len(hay) < room:
            raise InputError(
                f"the text has {len(hay)} tokens, {room} are needed to hide the fact in: give a longer one"
            )
    place = round(depth * room)
    tokens = torch.tensor([*begin, *hay[:place], *statement, *hay[place:], *question, *answer], device=device)[None]
    with torch.no_grad():
        logits = read(tokens[:, :-1], last=len(answer))[0].float()
    wanted = tokens[0, -len(answer) :]
    return Found(bool((logits.argmax(dim=-1) == wanted).all()), float(F.cross_entropy(logits, wanted)))
