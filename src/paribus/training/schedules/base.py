"""Contract of the family: (step, steps) -> factor of the peak learning rate, in [0, 1]."""

from abc import ABC, abstractmethod

from paribus.core.config import Part


class Schedule(Part, ABC):
    @abstractmethod
    def __call__(self, step: int, steps: int) -> float:
        """step 0 .. steps - 1; a pure function, so that a resumed run continues exactly."""
