"""The named tensors of a module in a safetensors file that is either whole or absent."""

import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from paribus.core.config import require
from paribus.core.errors import InputError


def save_whole(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write beside the target, flush to disk, then rename over it. Raises OSError, and leaves no half of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata=metadata)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except SafetensorError as error:  # it removes what it wrote
        raise OSError(None, str(error), str(path)) from error
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The named parameters and buffers themselves, each tensor once: writing into one changes the model.

    Buffers that a module marks as not persistent follow from its config, such as the frequencies of positions: a
    reader of the weights has its own. Raises ConfigError for a parameter that has no shape yet.
    """
    kept = model.state_dict().keys()
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in kept}
    named = {**dict(model.named_parameters()), **buffers}
    lazy = [name for name, tensor in named.items() if is_lazy(tensor)]
    require(
        not lazy,
        f"{', '.join(map(repr, lazy[:3]))} of the model has no shape before the first forward: give its layer the "
        "width that comes in (nn.Linear for nn.LazyLinear), or call the module on some tokens where it is made",
    )
    return {name: tensor.detach() for name, tensor in named.items()}


def save_weights(model: nn.Module, path: Path) -> None:
    save_whole(weights(model), path)


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill the model from a file; names and shapes must agree exactly."""
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} cannot be read as weights ({error}): delete it and run the same command again"
        ) from error
    wanted = weights(model)
    if stored.keys() != wanted.keys():
        odd = sorted(stored.keys() ^ wanted.keys())
        raise InputError(f"{path} holds another model: {len(odd)} names differ, such as {', '.join(odd[:3])}")
    for name, tensor in stored.items():
        if tensor.shape != wanted[name].shape:
            raise InputError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, the model expects {tuple(wanted[name].shape)}"
            )
    for name, tensor in stored.items():
        wanted[name].copy_(tensor)
