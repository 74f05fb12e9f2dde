"""A stdout that only a protocol writes to."""

import os
from typing import TextIO


def private_stdout() -> TextIO:
    """The stdout that this process was given, for the protocol alone: whatever else is printed goes to stderr."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own
