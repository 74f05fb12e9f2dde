"""`paribus generate MODEL`: go on from a prompt."""

from pathlib import Path
from typing import Annotated

import typer

from paribus.core.errors import InputError


def generate(
    model: Annotated[Path, typer.Argument(help="A folder made by `paribus train`, or RUN/cells/DIGEST.")],
    prompt: Annotated[str, typer.Option(help="The text to go on from; - reads it from stdin.")] = "def ",
    tokens: Annotated[int, typer.Option(help="How many new tokens.")] = 200,
    temperature: Annotated[float, typer.Option(help="0: always the most likely token.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Repeats a text.")] = 0,
    code: Annotated[Path | None, typer.Option(help="A file of your own that defines parts of the model.")] = None,
) -> None:
    """Write text with a trained model, as it comes."""
    import codecs
    import sys

    import torch

    from paribus.data.text_source import Text
    from paribus.generation.generate import stream
    from paribus.generation.samplers.greedy import Greedy
    from paribus.generation.samplers.temperature import Temperature
    from paribus.lab.load import import_file
    from paribus.models.folder import load_model

    if code is not None:
        import_file(code)
    trained = load_model(model)
    if not isinstance(trained.data, Text):
        raise InputError(f"this model was trained on {type(trained.data).__name__}, whose tokens are not text")
    tokenizer = trained.data.tokenizer
    text = sys.stdin.read() if prompt == "-" else prompt
    if not text:
        raise InputError("the prompt is empty: give at least one character with --prompt")
    ids = torch.from_numpy(tokenizer.encode(text.encode()).astype("int64"))[None]
    sampler = Greedy() if temperature == 0 else Temperature(temperature=temperature)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    sys.stdout.write(text)
    for token in stream(trained.model, ids, tokens, sampler, seed):
        sys.stdout.write(decoder.decode(tokenizer.decode(token.numpy())))
        sys.stdout.flush()
    sys.stdout.write(decoder.decode(b"", final=True) + "\n")
