"""`paribus generate MODEL`: go on from prompts."""

from pathlib import Path
from typing import Annotated

import typer

from paribus.core.errors import InputError


def generate(
    model: Annotated[str, typer.Argument(help="A folder made by `paribus train`, RUN/cells/DIGEST, or a checkpoint.")],
    prompt: Annotated[
        list[str] | None, typer.Option(help='The text to go on from, "def " by default; - is stdin; may be repeated.')
    ] = None,
    tokens: Annotated[int, typer.Option(help="How many new tokens at most.")] = 200,
    temperature: Annotated[float, typer.Option(help="0: always the most likely token.")] = 0.0,
    top_k: Annotated[int | None, typer.Option(help="Only the K most likely tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Only the most likely tokens that sum to P.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Only tokens P times as likely as the likeliest.")] = None,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1: tokens seen before become less likely.")] = 1.0,
    no_repeat: Annotated[int | None, typer.Option(metavar="N", help="No N tokens in a row come twice.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(help="Repeats a text.")] = 0,
    chunk: Annotated[int, typer.Option(help="Tokens of the prompt read at a time: bounds the memory.")] = 512,
    code: Annotated[Path | None, typer.Option(help="A file of your own that defines parts of the model.")] = None,
) -> None:
    """Write text with a trained model, as it comes; several prompts are read together and written one by one."""
    import sys

    from paribus.cli.open_model import open_model
    from paribus.generation.filters.base import Filter
    from paribus.generation.filters.min_p import MinP
    from paribus.generation.filters.no_repeated_ngram import NoRepeatedNGram
    from paribus.generation.filters.repetition_penalty import RepetitionPenalty
    from paribus.generation.filters.temperature import Temperature
    from paribus.generation.filters.top_k import TopK
    from paribus.generation.filters.top_p import TopP
    from paribus.generation.samplers.draw import Draw
    from paribus.generation.samplers.greedy import Greedy
    from paribus.generation.text import complete, write

    filters: list[Filter] = []
    if repetition_penalty != 1:
        filters.append(RepetitionPenalty(penalty=repetition_penalty))
    if no_repeat is not None:
        filters.append(NoRepeatedNGram(n=no_repeat))
    if temperature not in (0, 1):
        filters.append(Temperature(temperature=temperature))
    chosen: tuple[tuple[str, Filter | None], ...] = (
        ("--top-k", None if top_k is None else TopK(k=top_k)),
        ("--top-p", None if top_p is None else TopP(p=top_p)),
        ("--min-p", None if min_p is None else MinP(p=min_p)),
    )
    for option, change in chosen:
        if change is not None:
            if temperature == 0:
                raise InputError(f"{option} changes nothing at --temperature 0: give a temperature such as 0.8")
            filters.append(change)
    sampler = Greedy(filters=tuple(filters)) if temperature == 0 else Draw(filters=tuple(filters))
    opened = open_model(model, code)
    texts = [sys.stdin.read() if one == "-" else one for one in prompt or ["def "]]
    if len(texts) == 1:
        sys.stdout.write(texts[0])
        pieces = write(
            opened.model, opened.tokenizer, texts, tokens, sampler, seed, stop or (), opened.end_tokens, chunk
        )
        for piece in pieces:
            sys.stdout.write(piece.text)
            sys.stdout.flush()
        sys.stdout.write("\n")
        return
    told = complete(opened.model, opened.tokenizer, texts, tokens, sampler, seed, stop or (), opened.end_tokens)
    for text, completion in zip(texts, told, strict=True):
        sys.stdout.write(f"{text}{completion.text}\n\n")
