"""Equal budgets: the inner width d_ff is solved so that arms match in parameters or in FLOPs per token.

Both are monotone in d_ff, so an integer bisection over multiples of 4 finds the closest width; what is left over is
the residual, printed with every verdict and refused above 0.5 %.
"""

from dataclasses import dataclass
from typing import Any, Literal

from paribus.core.config import part_name, require
from paribus.core.errors import ConfigError
from paribus.training.price import called, flops, n_parameters

STEP = 4  # widths are multiples of this
LARGEST_RESIDUAL = 0.005

Contract = Literal["parameters", "flops", "flops per span", "none"]


@dataclass(frozen=True)
class Sized:
    """A config with its price. `residual` is its distance from the reference in what is matched, parameters if nothing
    is."""

    config: Any
    n_parameters: int
    flops_per_token: float  # forward, all pairs
    causal_flops_per_token: float  # forward, pairs above the diagonal skipped
    residual: float


def price(config: Any, length: int, contract: Contract) -> float:
    """The quantity that a contract makes equal: parameters, or forward FLOPs per token at this length, or those of a
    span of text that is `length` tokens long."""
    if contract == "parameters":
        return float(n_parameters(config))
    return flops(config, length) if contract == "flops per span" else flops(config, length) / length


def size(config: Any, length: int, residual: float = 0.0) -> Sized:
    return Sized(
        config=config,
        n_parameters=n_parameters(config),
        flops_per_token=flops(config, length) / length,
        causal_flops_per_token=flops(config, length, causal=True) / length,
        residual=residual,
    )


def match(config: Any, reference: Any, length: int, contract: Contract, reference_length: int | None = None) -> Sized:
    """The config with its d_ff changed so that it costs what the reference costs, to within 0.5 %.

    reference_length: tokens of the reference, where the same text is another number of tokens for it.

    Under "none" nothing is changed, and the residual says how far apart the arms are in parameters. A config without
    a width to change is taken as it is where it matches already.
    """
    if contract == "none":
        return size(config, length, price(config, length, "parameters") / price(reference, length, "parameters") - 1)
    target = price(reference, length if reference_length is None else reference_length, contract)
    require(
        target > 0,
        f"no {contract} could be counted in {called(reference)}: let its config declare them, or say "
        "match='none' in the task",
    )
    residual = price(config, length, contract) / target - 1
    if residual == 0:
        return size(config, length)
    if width(config) is None:
        require(
            abs(residual) <= LARGEST_RESIDUAL,
            f"{called(config)} has no d_ff to solve for, and {residual:+.2%} of {contract} is more than "
            f"{LARGEST_RESIDUAL:.1%} apart: name the option that sets a width (resize='d_ff' of AnyModule, or "
            "`with_d_ff` of a config), match it by hand, or say match='none' in the task",
        )
        return size(config, length, residual)
    best = solve(config, target, length, contract)
    residual = price(best, length, contract) / target - 1
    if abs(residual) > LARGEST_RESIDUAL:
        raise ConfigError(
            f"the closest width d_ff = {width(best)} leaves {residual:+.2%} of {contract}, more than "
            f"{LARGEST_RESIDUAL:.1%}: bring the arms closer, or say match='none' in the task"
        )
    return size(best, length, residual)


def width(config: Any) -> int | None:
    """The inner width d_ff that may be solved; None where a config has none."""
    if not hasattr(config, "with_d_ff"):
        return None
    found: int | None = config.d_ff if hasattr(config, "d_ff") else config.feed_forward.d_ff
    return found


def solve(config: Any, target: float, length: int, contract: Contract) -> Any:
    """Integer bisection for the multiple of 4 whose price is closest to the target."""

    def cost(k: int) -> float:
        return price(config.with_d_ff(STEP * k), length, contract)

    require(
        cost(1) <= target,
        f"{contract} cannot be matched: with the smallest d_ff = {STEP} the arm already has {cost(1):,.0f}, "
        f"the reference {target:,.0f}; make the arm smaller or the reference larger",
    )
    require(
        cost(1) < cost(2),
        f"{part_name(type(config))}: a larger d_ff does not cost more {contract}, so there is nothing to solve: check "
        "with_d_ff and the price, or say match='none' in the task",
    )
    low, high = 1, 2
    while cost(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= target else (low, middle)
    best = min((low, high), key=lambda k: abs(cost(k) - target))
    return config.with_d_ff(STEP * best)
