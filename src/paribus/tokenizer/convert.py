"""Models of other tokenizers: read and write the JSON of bytepiece 0.6.3, write Hugging Face's tokenizer.json."""

import json
import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import numpy as np

from paribus.core.errors import ConfigError
from paribus.tokenizer.alphabet import byte_letters as byte_letters
from paribus.tokenizer.decimals import decimal
from paribus.tokenizer.tokenizer import Tokenizer
from paribus.tokenizer.vocabulary import SPECIALS, Vocabulary, write

_NO_MODEL = "expected the JSON of a bytepiece model, base64 of the piece -> [id, text, count]"


def read_bytepiece(path: str | os.PathLike[str]) -> Tokenizer:
    """A model of the original: the same tokens as its own `encode`, without exception, also of its NFC.

    Ids 0, 1, 2 are <pad>, <bos>, <eos>; scores are computed as the original does, by numpy's logarithm.
    """
    try:
        data: Any = json.loads(Path(path).read_bytes())
        entries = {b64decode(key, validate=True): value for key, value in data.items()}
        ids = {piece: int(value[0]) for piece, value in entries.items()}
        counts = {piece: int(value[-1]) for piece, value in entries.items()}
    except (ValueError, AttributeError, TypeError, IndexError, KeyError) as error:
        raise ConfigError(f"{os.fspath(path)}: {_NO_MODEL}") from error
    skip = len(SPECIALS)
    n = skip + len(ids)
    if not ids or sorted(ids.values()) != list(range(skip, n)) or min(counts.values()) < 1 or b"" in ids:
        raise ConfigError(f"{os.fspath(path)}: {_NO_MODEL}, with ids from 3 on without gaps and counts from 1 on")
    pieces = [b""] * n
    scores = np.zeros(n)
    numbers = np.zeros(n, dtype=np.uint64)
    log_total = np.log(sum(counts.values()))
    for piece, i in ids.items():
        pieces[i], scores[i], numbers[i] = piece, np.log(counts[piece]) - log_total, counts[piece]
    about = {"from": "bytepiece"}
    return Tokenizer.from_vocabulary(Vocabulary(pieces, scores, numbers, nfc=True, training=about))


_REFUSED = {
    ".model": "SentencePiece adds scores in single precision, over characters, after a normalisation of its own, and "
    "takes bytes only for characters that it does not know: its tokens are not those of any vocabulary here",
    ".tiktoken": "ranks of byte pairs say which pair is joined first, which no choice of scores can imitate, and the "
    "pattern that cuts the text before is not in the file",
}


def check_kind(out: str | os.PathLike[str]) -> None:
    """Raise ConfigError for the name of a file that other programs would take for one of theirs."""
    if Path(out).suffix in _REFUSED:
        raise ConfigError(
            f"{os.fspath(out)} cannot be written: name it tokenizer.json for Hugging Face, other .json for bytepiece, "
            "or .bp"
        )


def read(path: str | os.PathLike[str]) -> Tokenizer:
    """Our model file, or the JSON of bytepiece. Raises ConfigError for a model whose tokens could not be the same."""
    suffix = Path(path).suffix
    if suffix in _REFUSED:
        raise ConfigError(
            f"{os.fspath(path)} cannot be converted exactly: {_REFUSED[suffix]}; `paribus tokenizer train` learns a "
            "vocabulary from your text, and `compare` sets tokenizers side by side"
        )
    return read_bytepiece(path) if suffix == ".json" else Tokenizer.load(path)


def write_bytepiece(tokenizer: Tokenizer, path: str | os.PathLike[str]) -> None:
    """The JSON that bytepiece 0.6.3 reads; equal tokens on text in NFC, since the original composes all other text.

    Raises ConfigError for other special tokens than the original's and for a model without counts.
    """
    own = tokenizer.vocabulary
    skip = len(SPECIALS)
    if own.specials != {name: i for i, name in enumerate(SPECIALS)}:
        raise ConfigError("bytepiece knows the special tokens <pad>, <bos> and <eos> only, as 0, 1 and 2")
    counts = own.counts.tolist()
    if min(counts[skip:]) < 1:
        raise ConfigError("bytepiece needs the count of each piece, and this model has scores only")
    entries = {
        b64encode(piece).decode(): [i, piece.decode(errors="ignore"), counts[i]]
        for i, piece in enumerate(own.pieces)
        if i >= skip
    }
    write(path, json.dumps(entries, indent=4, ensure_ascii=False).encode())


def named(own: Vocabulary) -> dict[int, str]:
    """The name of each special token. Raises ConfigError for a model where one has none."""
    names = {i: name for name, i in own.specials.items()}
    for i, piece in enumerate(own.pieces):
        if not piece and i not in names:
            raise ConfigError(f"token {i} of the model has neither piece nor name: make the model again")
    return names


def hugging_face(tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of a `tokenizer.json`: Unigram over byte letters, cut at newlines as here.

    Faithful: the Hugging Face engine adds the same doubles in the same order and breaks ties for the longest piece. It
    must be written by `write_hugging_face`, since that engine's reader does not round decimals as Python's does.
    What differs: it takes text only, not arbitrary bytes, and its special tokens are recognised in any text once added.
    """
    own = tokenizer.vocabulary
    letters = byte_letters()
    names = named(own)
    vocab = [
        # A special token is never the better choice: its bytes are pieces of a far higher score.
        ["".join(letters[b] for b in piece), float(score)] if piece else [names[i], -1e10]
        for i, (piece, score) in enumerate(zip(own.pieces, own.scores))
    ]
    spelled = [text for text, _ in vocab]
    if len(set(spelled)) != len(spelled):
        twice = next(text for text in spelled if spelled.count(text) > 1)
        raise ConfigError(f"the special token {twice!r} has the spelling of a piece: tokenizer.json cannot hold both")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    lines = {"type": "Split", "pattern": {"Regex": r"[^\n]*\n+|[^\n]+"}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "NFC"} if tokenizer.nfc else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [lines, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False},
    }


def write_hugging_face(tokenizer: Tokenizer, path: str | os.PathLike[str]) -> None:
    """The file `tokenizer.json`, with scores spelled so that Hugging Face's engine reads the same doubles."""
    told = hugging_face(tokenizer)
    entries = [f"[{json.dumps(word, ensure_ascii=False)}, {decimal(score)}]" for word, score in told["model"]["vocab"]]
    told["model"]["vocab"] = None
    head, tail = json.dumps(told, ensure_ascii=False).split('"vocab": null')
    write(path, f'{head}"vocab": [{", ".join(entries)}]{tail}'.encode())
