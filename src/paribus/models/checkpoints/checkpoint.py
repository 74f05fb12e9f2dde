"""What a checkpoint is, whatever file it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from paribus.ops.blocks import Blocks


@dataclass(frozen=True)
class Checkpoint:
    """config: as in Hugging Face's config.json. tensors: by Hugging Face's names, read when asked for.

    tokenizer: the content of tokenizer.json, or None. end_tokens: after which a text is over. begin_tokens: before
    every text; None: those that tokenizer.json sets there. blocks: of tensors that are stored in 4 or 8 bits a number.
    beside: name -> content of the files that go with the model, such as the chat's template; never weights or code.
    """

    path: Path
    config: dict[str, Any]
    tensors: Mapping[str, Tensor]
    tokenizer: str | None = None
    end_tokens: tuple[int, ...] = ()
    begin_tokens: tuple[int, ...] | None = None
    blocks: Mapping[str, Blocks] = field(default_factory=dict)
    beside: Mapping[str, bytes] = field(default_factory=dict)
