"""Any nn.Module that turns tokens into logits, a transformers model included, built anew for every seed.

    def net(width: int = 64) -> nn.Module: ...                     # a class will do as well

    Arm("mine", AnyModule.Config(make=net, options={"width": 48}))
    Arm("wide", AnyModule.Config(make=net, resize="width"))        # the budget may change `width`

The module is called with int64 tokens (batch, length) and gives logits (batch, length, vocab_size), or an object that
holds them as `.logits`, or a tuple that begins with them. It draws its parameters itself; the seed is set before.
Those made by `paribus.layers.parameters.parameter` are drawn by (seed, name), as in models of the package.
"""

import inspect
from collections.abc import Callable
from dataclasses import field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from paribus.core.config import Part, require
from paribus.core.errors import ConfigError


class AnyModule(nn.Module):
    class Config(Part):
        """
        make: a class or function at the top of a file, make(**options) -> nn.Module.
        options: what it is called with; together with the code of make's file they name the results.
        resize: the option, an integer, that the budget may change in multiples of 4 so that arms match in size; empty
            where there is none: then the arm must match as it is, or the task says match="none".
        causal: False for a module that is meant to see later tokens; True is checked before the run.
        Raises ConfigError for a make that is no named class or function, and for a resize that is no integer option.
        """

        source: ClassVar[str] = ""
        families: ClassVar[tuple[str, ...]] = ("paribus.models",)
        make: Callable[..., Any]
        options: dict[str, Any] = field(default_factory=dict)
        resize: str = ""
        causal: bool = True

        def check(self) -> None:
            name = getattr(self.make, "__qualname__", "")
            require(
                (inspect.isfunction(self.make) or inspect.isclass(self.make)) and "<" not in name,
                f"make = {self.make!r}: expected a class or function with a name at the top of a file, such as "
                "`def net(): ...`; a lambda, an inner function or a module that is built already cannot be told from "
                "another one by its name",
            )
            require(
                not self.resize or type(self.d_ff) is int,
                f"resize = {self.resize!r}: expected the name of an integer option of {name}; give it a value in "
                f"options, such as options={{{self.resize!r}: 256}}",
            )

        @property
        def d_ff(self) -> int | None:
            """The width that `resize` names; None where the budget may change nothing."""
            if not self.resize:
                return None
            known = inspect.signature(self.make).parameters.get(self.resize)
            found = self.options.get(self.resize, None if known is None else known.default)
            return found if type(found) is int else None

        def with_d_ff(self, d_ff: int) -> Self:
            require(
                bool(self.resize),
                f"the module of {self.make.__qualname__} has no width that may be changed: name the option that "
                "sets one, such as resize='d_ff'",
            )
            return replace(self, options={**self.options, self.resize: d_ff})

        def build(self) -> "AnyModule":
            return AnyModule(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        made = config.make(**config.options)
        require(
            isinstance(made, nn.Module),
            f"{config.make.__qualname__} gave {type(made).__name__}: expected an nn.Module",
        )
        require(
            next(made.parameters(), None) is not None,
            f"{config.make.__qualname__} gave a module without parameters: there is nothing to train",
        )
        self.module: nn.Module = made

    def forward(self, tokens: Tensor, last: int | None = None) -> Tensor:
        """tokens int64 (batch, length) -> logits (batch, length, vocab_size), or those of the `last` tokens only."""
        given = self.module(tokens)
        logits = getattr(given, "logits", given)
        if isinstance(logits, (tuple, list)) and logits:
            logits = logits[0]
        if not isinstance(logits, Tensor) or logits.ndim != 3 or logits.shape[:2] != tokens.shape:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ConfigError(
                f"the module of {self.config.make.__qualname__} gave {got} for tokens {tuple(tokens.shape)}: expected "
                "logits (batch, length, vocab_size), as a tensor, as `.logits` or first in a tuple; wrap it in a "
                "module that gives them"
            )
        return logits if last is None else logits[:, -last:]


@torch.no_grad()
def sees_ahead(model: nn.Module, length: int, vocab_size: int) -> int | None:
    """The first position whose logits change when the second half of the tokens does; None for a causal model."""
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocab_size, (1, length), generator=random)
    half = (length + 1) // 2
    other = torch.cat([tokens[:, :half], (tokens[:, half:] + 1) % vocab_size], dim=1)
    first, second = model(tokens)[:, :half].float(), model(other)[:, :half].float()
    changed = ~torch.isclose(first, second, rtol=1e-3, atol=1e-4, equal_nan=True).all(dim=-1)[0]
    return int(changed.nonzero()[0]) if changed.any() else None
