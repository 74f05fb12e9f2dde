"""Parameters and FLOPs of a config: as it declares them, or counted where it does not.

A config of the package prices itself. A user's own may declare `n_parameters()` and `flops(length, causal=False)` or
leave either away; then its model is built once and one forward pass is watched. The watch sees matrix products,
convolutions and attention, not recurrent kernels or elementwise work: declare what it cannot see.
"""

from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from paribus.core.config import canonical_json

_COUNTED: dict[tuple[str, int], int] = {}  # a model is built and run once for each length


def n_parameters(config: Any) -> int:
    if hasattr(config, "n_parameters"):
        return int(config.n_parameters())
    return sum(weight.numel() for weight in config.build().parameters())


def flops(config: Any, length: int, causal: bool = False) -> float:
    """Forward FLOPs of one sequence; what is counted is counted over all pairs, whether or not a mask hides some."""
    if hasattr(config, "flops"):
        return float(config.flops(length, causal=causal))
    key = (canonical_json(config), length)
    if key not in _COUNTED:
        _COUNTED[key] = count(config.build(), length)
    return float(_COUNTED[key])


@torch.no_grad()
def count(model: torch.nn.Module, length: int) -> int:
    """FLOPs that torch sees in one forward pass over `length` tokens; its counter takes fused attention for nothing."""
    tokens = torch.zeros((1, length), dtype=torch.int64)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.eval()(tokens)
    return int(counter.get_total_flops())
