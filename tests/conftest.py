"""Every test runs on one torch thread, and memory that nobody wrote is NaN: reading it shows."""

import torch


def pytest_configure() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)  # which is what makes the next line act
    torch.utils.deterministic.fill_uninitialized_memory = True
