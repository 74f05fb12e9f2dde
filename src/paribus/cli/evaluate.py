"""`paribus evaluate MODEL`: loss and accuracy on the same last tokens while the context grows."""

from pathlib import Path
from typing import Annotated

import typer

from paribus.core.errors import InputError


def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder made by `paribus train`, or RUN/cells/DIGEST.")],
    at: Annotated[str, typer.Option(help="Context lengths, separated by commas.")] = "64,128,256,512",
    last: Annotated[int, typer.Option(help="How many last tokens are scored.")] = 32,
    windows: Annotated[int, typer.Option(help="How many held-out windows.")] = 128,
    split: Annotated[str, typer.Option(help="dev or test.")] = "test",
    corpus: Annotated[str | None, typer.Option(help="Another corpus than the model's own.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.", metavar="WORD")] = "cpu",
    code: Annotated[Path | None, typer.Option(help="A file of your own that defines parts of the model.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a trained model on held-out text."""
    import json as json_module
    import sys
    from dataclasses import replace

    from rich.console import Console
    from rich.table import Table

    from paribus.cli.device import device_from_word
    from paribus.data.text_source import Text
    from paribus.evaluation.last_tokens import LastTokens
    from paribus.lab.load import import_file
    from paribus.models.folder import load_model
    from paribus.text.corpora import corpus_from_word

    try:
        lengths = tuple(sorted({int(word) for word in at.split(",")}))
    except ValueError as error:
        raise InputError(f"--at {at!r}: expected lengths such as 64,128,256") from error
    if split not in ("dev", "test"):
        raise InputError(f"--split {split!r}: expected dev or test; the train split is what the model has seen")
    place = device_from_word(device)
    if code is not None:
        import_file(code)
    trained = load_model(model)
    data = trained.data
    if corpus is not None:
        if not isinstance(data, Text):
            raise InputError(f"--corpus {corpus}: the model was trained on {type(data).__name__}, not on text")
        data = replace(data, corpus=corpus_from_word(corpus))
    metric = LastTokens(last=last, at=lengths, windows=windows)
    values = metric.measure(trained.model.to(place), data.prepare().windows(split, metric.windows, metric.longest))
    if json:
        sys.stdout.write(json_module.dumps(values, indent=1) + "\n")
        return
    table = Table("context", "loss, nats per token", "accuracy")
    for n in lengths:
        table.add_row(str(n), f"{values[f'loss@{n}']:.4f}", f"{values[f'accuracy@{n}']:.4f}")
    Console(highlight=False).print(table)
