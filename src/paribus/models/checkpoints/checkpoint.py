"""What a checkpoint is, whatever file it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """config: as in Hugging Face's config.json. tensors: by Hugging Face's names, read when asked for.

    tokenizer: the content of tokenizer.json, or None. end_tokens: after which a text is over. begin_tokens: before
    every text; None: those that tokenizer.json sets there.
    """

    path: Path
    config: dict[str, Any]
    tensors: Mapping[str, Tensor]
    tokenizer: str | None = None
    end_tokens: tuple[int, ...] = ()
    begin_tokens: tuple[int, ...] | None = None
