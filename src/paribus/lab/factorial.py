"""Two changes of one model and their four arms: neither, the first, the second, both.

square = two_by_two(Arm("plain", model), ("key-norm", with_key_norm), ("squared", with_squared))
Claim(
    arms=square.arms,
    predicts=[
        Greater("synergy", square.both, than=square.added, ...),             # more than the sum of each alone
        Equivalent("add-up", square.both, than=square.added, margin=..., ...),   # no interaction
        Greater("key-norm", square.with_first, than=square.without_first, ...),  # effect of the first change
    ], ...)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paribus.core.config import require
from paribus.lab.claim import Arm
from paribus.lab.combinations import Added, MeanOf

Change = tuple[str, Callable[[Any], Any]]  # a name, and what makes a changed config of a config


@dataclass(frozen=True)
class Square:
    """The four arms of a 2 x 2; as sides of a prediction: names of arms, or combinations of them."""

    arms: tuple[Arm, Arm, Arm, Arm]
    names: tuple[str, str]  # of the changes

    @property
    def neither(self) -> str:
        return self.arms[0].name

    @property
    def first(self) -> str:
        return self.arms[1].name

    @property
    def second(self) -> str:
        return self.arms[2].name

    @property
    def both(self) -> str:
        return self.arms[3].name

    @property
    def added(self) -> Added:
        """What both would be if neither change altered the effect of the other: against it, `both` is the
        interaction."""
        return Added(self.first, self.second, self.neither)

    @property
    def with_first(self) -> MeanOf:
        return MeanOf((self.first, self.both), called=f"with {self.names[0]}")

    @property
    def without_first(self) -> MeanOf:
        return MeanOf((self.neither, self.second), called=f"without {self.names[0]}")

    @property
    def with_second(self) -> MeanOf:
        return MeanOf((self.second, self.both), called=f"with {self.names[1]}")

    @property
    def without_second(self) -> MeanOf:
        return MeanOf((self.neither, self.first), called=f"without {self.names[1]}")


def two_by_two(base: Arm, first: Change, second: Change, second_reads: bool = False) -> Square:
    """The four arms of two changes of the base arm.

    second_reads: the second change only reads trained weights in another way (positions, a scale): then two arms are
    trained, and two read them.
    Raises ConfigError for changes that change nothing, or that give another config in the other order.
    """
    require(base.reads is None and base.starts_from is None, f"arm {base.name!r} must be trained from scratch")
    (a, change_a), (b, change_b) = first, second
    require(a != b, f"two changes of one name {a!r}: give each its own")
    config = base.config
    with_a, with_b, both = change_a(config), change_b(config), change_b(change_a(config))
    for name, changed in ((a, with_a), (b, with_b)):
        require(changed != config, f"the change {name!r} changes nothing of arm {base.name!r}")
    require(
        both == change_a(with_b),
        f"{a!r} and then {b!r} is another model than {b!r} and then {a!r}: let each change fields of its own",
    )
    name = f"{a} + {b}"
    return Square(
        (
            base,
            Arm(a, with_a),
            Arm(b, with_b, reads=base.name if second_reads else None),
            Arm(name, both, reads=a if second_reads else None),
        ),
        (a, b),
    )
