"""Open what the user names as a model: its weights, and the tokenizer that belongs to them."""

from pathlib import Path
from typing import NamedTuple

from paribus.core.errors import InputError
from paribus.data.text_source import Text
from paribus.lab.load import import_file
from paribus.models.decoder import DecoderLM
from paribus.models.folder import load_model
from paribus.tokenizer.base import TextTokenizer


class Opened(NamedTuple):
    model: DecoderLM
    tokenizer: TextTokenizer
    end_tokens: tuple[int, ...]  # after which a text is over


def open_model(word: str, code: Path | None = None) -> Opened:
    """A folder of `paribus train` or a training cell. code: a file that defines parts of the model."""
    if code is not None:
        import_file(code)
    trained = load_model(Path(word))
    if not isinstance(trained.data, Text):
        raise InputError(f"this model was trained on {type(trained.data).__name__}, whose tokens are not text")
    return Opened(trained.model, trained.data.tokenizer, ())
