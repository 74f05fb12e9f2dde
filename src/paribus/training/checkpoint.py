"""The state of a run that is going on: weights, optimizer state and the number of steps done, in one file.

It holds what the future of a run depends on. Data order and learning rate are pure functions of the step, so a resumed
run gives the same bits as an unbroken one.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from paribus.models.weights import save_whole, weights


def save_progress(model: nn.Module, optimizer: torch.optim.Optimizer, step: int, path: Path) -> None:
    """Everything that the remaining steps depend on; `step` steps are done."""
    tensors = {f"model.{name}": tensor for name, tensor in weights(model).items()}
    for name, weight in model.named_parameters():
        for key, value in optimizer.state.get(weight, {}).items():
            tensors[f"optimizer.{name}.{key}"] = torch.as_tensor(value)
    save_whole(tensors, path, metadata={"progress": json.dumps({"step": step})})


def load_progress(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> int:
    """Restore what save_progress stored and return the number of steps done; 0 when the file is absent or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            step = int(json.loads(file.metadata()["progress"])["step"])
            stored: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return 0
    for name, tensor in weights(model).items():
        tensor.copy_(stored[f"model.{name}"])
    names = {weight: name for name, weight in model.named_parameters()}
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for index, weight in enumerate(trained):
        prefix = f"optimizer.{names[weight]}."
        own = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
        if own:
            state[index] = own
    # The optimizer itself knows which of its numbers belong on the device.
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return step
