"""From a seed and a name to independent streams of random numbers.

A stream is named, never shared: adding a layer or an arm cannot shift the numbers that another one draws.
"""

import hashlib
import json

import numpy as np


def derive(*names: int | str) -> int:
    """A 63-bit seed from integers and names: equal names give equal seeds on every machine."""
    return int.from_bytes(hashlib.blake2b(json.dumps(names).encode(), digest_size=8).digest(), "big") >> 1


def generator(*names: int | str) -> np.random.Generator:
    """A counter-based numpy generator (Philox) keyed by the names."""
    return np.random.Generator(np.random.Philox(key=derive(*names)))
