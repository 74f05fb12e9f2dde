"""Parameters that carry how they are drawn, so that seed s draws each one by (s, name).

Parameters of equal name and shape are bit-equal across the arms of a claim, whatever else the arms contain.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from paribus.core.seed import derive


def parameter(shape: Sequence[int], std: float, mean: float = 0.0) -> nn.Parameter:
    """An undrawn parameter, to be drawn from N(mean, std^2); std = 0 is the constant `mean`."""
    weight = nn.Parameter(torch.full(tuple(shape), mean))
    weight.paribus_normal = (mean, std)  # type: ignore[attr-defined]
    return weight


@torch.no_grad()
def draw(module: nn.Module, seed: int) -> None:
    """Draw every tagged parameter from the stream (seed, name). Foreign parameters keep their own start."""
    for name, weight in module.named_parameters():
        if (normal := getattr(weight, "paribus_normal", None)) is None:
            continue
        mean, std = normal
        if std == 0.0:
            weight.fill_(mean)
            continue
        # Drawn on the CPU in float32, so that every device starts from the same numbers.
        numbers = torch.empty(weight.shape, dtype=torch.float32)
        numbers.normal_(mean, std, generator=torch.Generator().manual_seed(derive(seed, "parameter", name)))
        weight.copy_(numbers)


def decayed(weight: Tensor) -> bool:
    """Weight decay acts on matrices and embeddings, not on gains and biases."""
    return weight.ndim >= 2
