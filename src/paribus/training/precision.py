"""float32, or bfloat16 by autocast with float32 weights."""

from contextlib import nullcontext
from typing import Any

import torch


def autocast(dtype: str, device: torch.device) -> Any:
    """A context in which matmuls run in bfloat16 when dtype says so."""
    return torch.autocast(device.type, torch.bfloat16) if dtype == "bfloat16" else nullcontext()
