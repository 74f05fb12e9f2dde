"""Tokenizers side by side on one text: how much a token holds and how fast they are."""

import os
import time
from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import NamedTuple

from paribus.core.errors import ConfigError, InputError, optional
from paribus.tokenizer.convert import read_bytepiece
from paribus.tokenizer.tokenizer import Tokenizer

Encode = Callable[[str], Sized]


class Row(NamedTuple):
    """bytes_per_token; tokens_per_word: words parted by white space (fertility); megabytes_per_second: one thread,
    one call a document, the best of the rounds."""

    name: str
    vocab_size: int
    tokens: int
    bytes_per_token: float
    tokens_per_word: float
    megabytes_per_second: float


def open_tokenizer(path: str | os.PathLike[str]) -> tuple[int, Encode]:
    """(vocabulary size, encode) of a model file: ours (.bp), bytepiece's (.json), Hugging Face's (tokenizer.json) or
    SentencePiece's (.model); the last two need their package."""
    name = os.fspath(path)
    if not Path(name).is_file():
        raise InputError(f"{name} is no file: name the files of tokenizers")
    if name.endswith(".model"):
        library = optional("sentencepiece", "peers")
        try:
            spm = library.SentencePieceProcessor(model_file=name)
        except (OSError, RuntimeError) as error:
            raise ConfigError(f"{name} is no model of SentencePiece ({error}): train or download it again") from error
        return spm.get_piece_size(), spm.encode
    if name.endswith(".json"):
        try:
            own = read_bytepiece(name)
        except ConfigError as error:
            library = optional("tokenizers", "peers")
            try:
                engine = library.Tokenizer.from_file(name)
            except Exception as other:  # the library raises nothing more special
                raise ConfigError(f"{error}; and it is no tokenizer.json of Hugging Face ({other})") from other
            return engine.get_vocab_size(), lambda text: engine.encode(text, add_special_tokens=False).ids
        return own.vocab_size, own.encode
    own = Tokenizer.load(name)
    return own.vocab_size, own.encode


def compare(paths: Sequence[str | os.PathLike[str]], documents: Sequence[str], rounds: int = 3) -> list[Row]:
    """One row for each tokenizer, on the same documents. The order of the rounds alternates, so that load hits all."""
    size = sum(len(text.encode()) for text in documents)
    if size == 0:
        raise InputError("there is no text to compare on: name files with text in them")
    words = sum(len(text.split()) for text in documents)
    opened = [(Path(path).name, *open_tokenizer(path)) for path in paths]
    tokens = [0] * len(opened)
    best = [float("inf")] * len(opened)
    for _ in range(rounds):
        for k, (_, _, encode) in enumerate(opened):
            began = time.perf_counter()
            tokens[k] = sum(len(encode(text)) for text in documents)
            best[k] = min(best[k], time.perf_counter() - began)
    return [
        Row(name, vocab, n, size / max(n, 1), n / max(words, 1), size / seconds / 1e6)
        for (name, vocab, _), n, seconds in zip(opened, tokens, best)
    ]


def check_plot(path: str | os.PathLike[str]) -> None:
    """Raise InputError before anything is measured if a plot could not be written there."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    kinds = FigureCanvasAgg.get_supported_filetypes()
    if Path(path).suffix.lstrip(".").lower() not in kinds:
        raise InputError(f"{os.fspath(path)}: a plot's name ends in .{', .'.join(sorted(kinds))}")
    if not Path(path).absolute().parent.is_dir():
        raise InputError(f"{os.fspath(path)}: there is no folder {Path(path).absolute().parent}; make it first")


def plot(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Bytes per token against MB/s, a point for each tokenizer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for row in rows:
        axes.scatter(row.megabytes_per_second, row.bytes_per_token)
        axes.annotate(f" {row.name} ({row.vocab_size})", (row.megabytes_per_second, row.bytes_per_token))
    axes.set_xscale("log")
    axes.set_xlabel("encoding, MB/s on one thread")
    axes.set_ylabel("bytes per token")
    figure.savefig(path)
