"""y = x W^T, without bias, drawn from N(0, gain^2 / d_in)."""

from torch import Tensor, nn
from torch.nn import functional as F

from paribus.layers.parameters import parameter


class Linear(nn.Module):
    """Multiplies the last axis: (..., d_in) -> (..., d_out). gain < 1 softens residual outputs at the start."""

    def __init__(self, d_in: int, d_out: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = parameter((d_out, d_in), std=gain * d_in**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)
