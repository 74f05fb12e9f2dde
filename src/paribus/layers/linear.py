"""y = x W^T, without bias, drawn from N(0, gain^2 / d_in)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paribus.layers.parameters import parameter
from paribus.ops import few_rows


class Linear(nn.Module):
    """Multiplies the last axis: (..., d_in) -> (..., d_out). gain < 1 softens residual outputs at the start."""

    def __init__(self, d_in: int, d_out: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = parameter((d_out, d_in), std=gain * d_in**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return few_rows.linear(x, self.weight)


def together(x: Tensor, layers: Sequence[Linear]) -> Sequence[Tensor]:
    """[layer(x) for layer in layers], which is its slow twin, in one product with their stacked matrices."""
    watched = any(type(layer) is not Linear or layer._forward_hooks or layer._forward_pre_hooks for layer in layers)
    if watched or x.numel() < FEW:
        return [layer(x) for layer in layers]
    stacked = F.linear(x, torch.cat([layer.weight for layer in layers]))
    return stacked.split([len(layer.weight) for layer in layers], dim=-1)


# Below so many numbers, as in a step of decoding, stacking the matrices costs more than one product saves.
FEW = 2**14
