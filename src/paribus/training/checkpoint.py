"""Weights and optimizer state in safetensors files that are either whole or absent.

A checkpoint holds what the future of a run depends on: parameters, optimizer state, the number of steps done. Data
order and learning rate are pure functions of the step, so a resumed run gives the same bits as an unbroken one.
"""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from paribus.core.errors import InputError


def save_whole(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write beside the target, flush to disk, then rename over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata=metadata)
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The named parameters and buffers, each tensor once."""
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor.detach().contiguous() for name, tensor in named.items()}


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
        wanted[name].copy_(tensor)


def save_progress(model: nn.Module, optimizer: torch.optim.Optimizer, step: int, path: Path) -> None:
    """Everything that the remaining steps depend on; `step` steps are done."""
    tensors = {f"model.{name}": tensor for name, tensor in weights(model).items()}
    for name, weight in model.named_parameters():
        for key, value in optimizer.state.get(weight, {}).items():
            tensors[f"optimizer.{name}.{key}"] = torch.as_tensor(value).contiguous()
    save_whole(tensors, path, metadata={"progress": json.dumps({"step": step})})


def load_progress(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> int:
    """Restore what save_progress stored and return the number of steps done; 0 when the file is absent or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            step = int(json.loads(file.metadata()["progress"])["step"])
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return 0
    for name, tensor in weights(model).items():
        tensor.copy_(stored[f"model.{name}"])
    for name, weight in model.named_parameters():
        prefix = f"optimizer.{name}."
        own = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
        if own:
            optimizer.state[weight] = {
                key: value if key == "step" else value.to(weight.device) for key, value in own.items()
            }
    return step
