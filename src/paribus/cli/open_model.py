"""Open what the user names as a model: its weights, and the tokenizer that belongs to them."""

from pathlib import Path
from typing import NamedTuple

from paribus.core.errors import InputError
from paribus.data.text_source import Text
from paribus.lab.load import import_file
from paribus.models.checkpoints.open import is_checkpoint, load_checkpoint
from paribus.models.decoder import DecoderLM
from paribus.models.folder import load_model
from paribus.tokenizer.base import Codec
from paribus.tokenizer.byte_level import ByteLevelBPE


class Opened(NamedTuple):
    model: DecoderLM
    tokenizer: Codec
    end_tokens: tuple[int, ...]  # after which a text is over


def open_model(word: str, code: Path | None = None) -> Opened:
    """A folder of `paribus train`, a training cell, a checkpoint or its known name.

    code: a file that defines parts of the model.
    """
    if code is not None:
        import_file(code)
    if is_checkpoint(word):
        model, checkpoint = load_checkpoint(word)
        if checkpoint.tokenizer is None:
            raise InputError(f"{checkpoint.path} brings no tokenizer that can be read here, so no text can be given")
        return Opened(model, ByteLevelBPE(checkpoint.tokenizer), checkpoint.end_tokens)
    trained = load_model(Path(word))
    if not isinstance(trained.data, Text):
        raise InputError(f"this model was trained on {type(trained.data).__name__}, whose tokens are not text")
    return Opened(trained.model, trained.data.tokenizer, ())
