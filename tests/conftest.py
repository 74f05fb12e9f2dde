"""Every test runs on one torch thread, and memory that nobody wrote is NaN: reading it shows.

Laws are tried on the same cases each time and without a clock; `--hypothesis-profile explore` tries new ones.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import settings
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile("same")


def pytest_configure() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)  # which is what makes the next line act
    torch.utils.deterministic.fill_uninitialized_memory = True


@pytest.fixture(autouse=True)
def _the_same_numbers_each_time() -> None:
    torch.manual_seed(0)


@pytest.fixture
def counted_flops() -> Callable[[Callable[[], Any]], int]:
    """FLOPs that torch counts in a call, under the math backend: of fused attention on a CPU it counts none."""

    def count(work: Callable[[], Any]) -> int:
        counter = FlopCounterMode(display=False)
        with counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
            work()
        return int(counter.get_total_flops())

    return count
