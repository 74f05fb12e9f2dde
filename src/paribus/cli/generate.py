"""`paribus generate MODEL`: go on from prompts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.core.errors import ConfigError, InputError, Interrupted

if TYPE_CHECKING:
    from paribus.cli.open_model import Opened
    from paribus.generation.filters.base import Filter
    from paribus.generation.samplers.base import Sampler

DEFAULT = "def "


def generate(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder made by `paribus train`, RUN/cells/DIGEST, a Hugging Face folder, a .gguf file, or smollm2."
        ),
    ],
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help='The text to go on from, "def " by default; - is stdin without its last line end; may be repeated.',
        ),
    ] = None,
    tokens: Annotated[int, typer.Option(help="How many new tokens at most.")] = 200,
    temperature: Annotated[float, typer.Option(help="0: always the most likely token.")] = 0.0,
    top_k: Annotated[int | None, typer.Option(help="Only the K most likely tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Only the most likely tokens that sum to P.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Only tokens P times as likely as the likeliest.")] = None,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1: tokens seen before become less likely.")] = 1.0,
    no_repeat: Annotated[int | None, typer.Option(metavar="N", help="No N tokens in a row come twice.")] = None,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="End before this text; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Repeats a text drawn at a temperature above 0.")] = 0,
    chunk: Annotated[int, typer.Option(help="Tokens of the prompt read at a time: bounds the memory.")] = 512,
    half: Annotated[bool, typer.Option("--half", help="Weights and caches in bfloat16: half the memory.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.", metavar="WORD")] = "cpu",
    code: Annotated[Path | None, typer.Option(help="A file of your own that defines parts of the model.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a prompt, when all are done.")] = False,
) -> None:
    """Write text with a trained model: for one prompt as it comes, for several when all are done.

    The prompt stands before what is written. Several prompts are read as one batch, and a text does not depend on its
    neighbours; a seed gives each place in the list chance of its own, so a prompt given twice gives two texts.
    """
    import sys

    # What is wrong with the call is said before a model is read.
    for option, number in (("--tokens", tokens), ("--chunk", chunk)):
        if number < 1:
            raise InputError(f"{option} {number}: expected at least 1")
    if "" in (stop or ()):
        raise InputError('--stop "" would stop everything: give a text, or leave it out')
    sampler = _sampler(temperature, top_k, top_p, min_p, repetition_penalty, no_repeat)
    texts = _prompts(prompt or [DEFAULT])

    import torch
    from rich.console import Console

    from paribus.cli.device import device_from_word
    from paribus.cli.open_model import open_model

    place = device_from_word(device)

    with Console(stderr=True).status(f"reading {model}"):  # in a terminal only
        opened = open_model(model, code, torch.bfloat16 if half else torch.float32)
        opened.model.to(place)
    _tell_of_length(opened, texts, tokens)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a letter is no reason to stop
    try:
        _write(opened, texts, tokens, sampler, seed, stop or (), chunk, json)
    except KeyboardInterrupt:
        sys.stdout.write("\n")
        raise Interrupted("stopped; what was written stands above") from None


def _prompts(words: Sequence[str]) -> list[str]:
    import sys

    if words.count("-") > 1:
        raise InputError("--prompt - is given more than once: stdin can be one prompt only")
    texts = []
    for word in words:
        try:
            text = word if word != "-" else sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
            text.encode()  # an argument that was no UTF-8 cannot be encoded
        except UnicodeError as error:
            raise InputError(
                f"the prompt is no UTF-8 text ({error}): convert it first, for instance with iconv"
            ) from error
        if not text:
            raise InputError("the prompt is empty: give at least one character")
        texts.append(text)
    return texts


def _sampler(
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
    repetition_penalty: float,
    no_repeat: int | None,
) -> "Sampler":
    """Filters in this order: repetition, temperature, then what is cut off."""
    from math import isfinite

    from paribus.generation.filters.min_p import MinP
    from paribus.generation.filters.no_repeated_ngram import NoRepeatedNGram
    from paribus.generation.filters.repetition_penalty import RepetitionPenalty
    from paribus.generation.filters.temperature import Temperature
    from paribus.generation.filters.top_k import TopK
    from paribus.generation.filters.top_p import TopP
    from paribus.generation.samplers.draw import Draw
    from paribus.generation.samplers.greedy import Greedy

    if not isfinite(temperature) or temperature < 0:
        raise InputError(
            f"--temperature {temperature:g}: expected a positive number such as 0.8, or 0 for the most likely token"
        )
    cuts = {"--top-k": top_k, "--top-p": top_p, "--min-p": min_p}
    for option, value in cuts.items():
        if value is not None and temperature == 0:
            raise InputError(f"{option} changes nothing at --temperature 0: give a temperature such as 0.8")
    # Option, the number that changes nothing, the filter and what it calls its number.
    changes: tuple[tuple[str, Any, Any, Callable[..., Filter], str], ...] = (
        ("--repetition-penalty", repetition_penalty, 1, RepetitionPenalty, "penalty"),
        ("--no-repeat", no_repeat, None, NoRepeatedNGram, "n"),
        ("--temperature", temperature or 1, 1, Temperature, "temperature"),
        ("--top-k", top_k, None, TopK, "k"),
        ("--top-p", top_p, None, TopP, "p"),
        ("--min-p", min_p, None, MinP, "p"),
    )
    filters = []
    for option, value, nothing, make, field in changes:
        try:
            filters += [] if value == nothing else [make(**{field: value})]
        except ConfigError as error:
            raise InputError(f"{option}: {error}") from error
    return Greedy(filters=tuple(filters)) if temperature == 0 else Draw(filters=tuple(filters))


def _tell_of_length(opened: "Opened", texts: Sequence[str], tokens: int) -> None:
    if opened.max_length is None:
        return
    longest = max(len(opened.tokenizer.encode(text.encode())) for text in texts) + len(opened.begin_tokens) + tokens
    if longest > opened.max_length:
        typer.echo(
            f"paribus: prompt and answer may take {longest:,} tokens, and this model was made for "
            f"{opened.max_length:,}: beyond them it may write nonsense; `paribus extend` makes it read longer",
            err=True,
        )


def _write(
    opened: "Opened",
    texts: list[str],
    tokens: int,
    sampler: "Sampler",
    seed: int,
    stop: Sequence[str],
    chunk: int,
    json: bool,
) -> None:
    import sys
    from dataclasses import replace
    from json import dumps

    from paribus.generation.filters.within import Within
    from paribus.generation.text import complete, write

    if opened.n_tokens < opened.model.config.vocab_size:
        sampler = replace(sampler, filters=(Within(n=opened.n_tokens), *sampler.filters))
    of_model = (opened.model, opened.tokenizer, texts, tokens, sampler, seed, stop)
    after = (opened.end_tokens, chunk, opened.begin_tokens)
    if len(texts) == 1 and not json:
        pieces = write(*of_model, *after)
        sys.stdout.write(texts[0])
        sys.stdout.flush()
        for piece in pieces:
            sys.stdout.write(piece.text)
            sys.stdout.flush()
        sys.stdout.write("\n")
        return
    told = complete(*of_model, *after)
    for number, (text, completion) in enumerate(zip(texts, told, strict=True), 1):
        if json:
            one = {"prompt": text, "text": completion.text, "finished": completion.finished}
            sys.stdout.write(dumps(one, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(f"--- {number} of {len(texts)} ---\n{text}{completion.text}\n")
