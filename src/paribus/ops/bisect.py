"""The root of a decreasing function, all rows at once: by halving alone, or by Newton kept inside a bracket."""

from collections.abc import Callable

import torch
from torch import Tensor


def bisect(excess: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The bracket [low, high] after `steps` halvings, of width (high - low) 2^-steps.

    excess is decreasing in its argument, elementwise, with excess(low) >= 0 >= excess(high); low and high have the
    same shape. 25 halvings exhaust float32 on a bracket of width one, 55 float64.
    """
    for _ in range(steps):
        middle = 0.5 * (low + high)
        above = excess(middle) >= 0
        low = middle.where(above, low)
        high = high.where(above, middle)
    return low, high


def bracketed_newton(
    excess_and_slope: Callable[[Tensor], tuple[Tensor, Tensor]], low: Tensor, high: Tensor, most: int = 200
) -> Tensor:
    """The root itself: Newton where it stays inside the bracket, halving where it would leave it.

    excess_and_slope gives the decreasing function and its derivative (<= 0), elementwise. Stops when every row's
    bracket or step is below rounding.
    """
    at = 0.5 * (low + high)
    for _ in range(most):
        excess, slope = excess_and_slope(at)
        low, high = at.where(excess >= 0, low), at.where(excess <= 0, high)
        step = excess / slope.where(slope < 0, -1.0)
        newton = at - step
        inside = (newton >= low) & (newton <= high) & (slope < 0)
        moved = newton.where(inside, 0.5 * (low + high))
        still = (moved - at).abs() <= 4 * torch.finfo(at.dtype).eps * (1 + at.abs())
        at = moved
        if bool((still | ~excess.isfinite()).all()):
            break
    return at
