"""y = gain * x + offset, coordinate by coordinate; drawn as the identity."""

from torch import Tensor, nn

from paribus.layers.parameters import parameter


class GainOffset(nn.Module):
    """Multiplies and shifts the last axis of `width` numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = parameter((width,), std=0.0, mean=1.0)
        self.offset = parameter((width,), std=0.0)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain + self.offset
