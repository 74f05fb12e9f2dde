"""Open what the user names as a model: its weights, and the tokenizer that belongs to them."""

from pathlib import Path
from typing import NamedTuple

import torch

from paribus.core.errors import InputError
from paribus.data.text_source import Text
from paribus.lab.load import import_file
from paribus.models.checkpoints.checkpoint import Checkpoint
from paribus.models.checkpoints.open import is_checkpoint, load_checkpoint, no_model, open_checkpoint
from paribus.models.decoder import DecoderLM
from paribus.models.folder import load_model
from paribus.tokenizer.base import Codec
from paribus.tokenizer.byte_level import ByteLevelBPE


class Opened(NamedTuple):
    model: DecoderLM
    tokenizer: Codec
    begin_tokens: tuple[int, ...]  # before every text
    end_tokens: tuple[int, ...]  # after which a text is over
    n_tokens: int  # ids from here on stand for nothing
    max_length: int | None  # the length that the model was made for, where it is known


def open_model(word: str, code: Path | None = None, dtype: torch.dtype = torch.float32) -> Opened:
    """A folder of `paribus train`, a training cell, a checkpoint or its known name.

    code: a file that defines parts of the model.
    """
    if code is not None:
        import_file(code)
    if is_checkpoint(word):
        return _checkpoint(word, dtype)
    path = Path(word)
    if not path.exists():
        raise no_model(word)
    if not path.is_dir():
        raise InputError(f"{path} is a file: give a .gguf file, or the folder that holds the model")
    trained = load_model(path)
    if not isinstance(trained.data, Text):
        raise InputError(f"this model was trained on {type(trained.data).__name__}, whose tokens are not text")
    return Opened(trained.model.to(dtype), trained.data.tokenizer, (), (), trained.data.vocab_size, None)


def _checkpoint(word: str, dtype: torch.dtype) -> Opened:
    checkpoint = open_checkpoint(word)
    # Read before the weights, which take longer.
    if checkpoint.tokenizer is None:
        missing = (
            "a GGUF file brings one that can be read for byte-level BPE of the kinds gpt-2 and smollm only: take the "
            "checkpoint's Hugging Face folder"
            if checkpoint.path.is_file()
            else "put the tokenizer.json of the model into that folder"
        )
        raise InputError(
            f"{checkpoint.path} brings no tokenizer that can be read here, so no text can be given: {missing}"
        )
    tokenizer = ByteLevelBPE(checkpoint.tokenizer)
    length = checkpoint.config.get("max_position_embeddings")
    model = load_checkpoint(checkpoint, dtype).model
    return Opened(
        model,
        tokenizer,
        begins_with(checkpoint, tokenizer),
        checkpoint.end_tokens,
        tokenizer.vocab_size,
        length if isinstance(length, int) else None,
    )


def begins_with(checkpoint: Checkpoint, tokenizer: ByteLevelBPE) -> tuple[int, ...]:
    """The tokens that the model reads before every text."""
    return tokenizer.begin if checkpoint.begin_tokens is None else checkpoint.begin_tokens
