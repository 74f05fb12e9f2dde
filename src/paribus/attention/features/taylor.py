"""phi(q) phi(k) = 1 + s + s^2 / 2, s = q k / sqrt(d): exp(s) to second order, and at least 1/2.

Features: 1, x / d^(1/4), all products of two of these over sqrt(2), and one zero, so that their number d^2 + d + 2 is
even and can be rotated in pairs.
"""

from typing import ClassVar

import torch
from torch import Tensor

from paribus.attention.features.base import FeatureMap


class Taylor(FeatureMap):
    source: ClassVar[str] = "Arora et al., Simple linear attention language models (Based), arXiv:2402.18668"
    positive: ClassVar[bool] = False

    def __call__(self, x: Tensor) -> Tensor:
        x = x * x.shape[-1] ** -0.25
        second = (x.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2) * 2**-0.5
        one = torch.ones_like(x[..., :1])
        return torch.cat((one, x, second, torch.zeros_like(one)), dim=-1)

    def width(self, head_dim: int) -> int:
        return head_dim * (head_dim + 1) + 2


Taylor.examples = (Taylor(),)
