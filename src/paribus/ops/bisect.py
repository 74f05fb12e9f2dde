"""The root of a decreasing function by halving, all rows at once. No derivative, no data-dependent stop."""

from collections.abc import Callable

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
