"""The `--device` of a command."""

from typing import TYPE_CHECKING

from paribus.core.errors import InputError

if TYPE_CHECKING:
    import torch


def device_from_word(word: str) -> "torch.device":
    """cpu, cuda or cuda:N. Raises InputError for another word, and for a GPU that is not there."""
    import torch

    kind, colon, number = word.partition(":")
    if kind not in ("cpu", "cuda") or (colon and not (kind == "cuda" and number.isdecimal())):
        raise InputError(f"--device {word}: expected cpu, cuda or cuda:N")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise InputError(f"--device {word}: torch sees no GPU; take --device cpu")
        if colon and int(number) >= count:
            raise InputError(f"--device {word}: torch sees {count} GPUs, counted from cuda:0")
    return torch.device(word)
