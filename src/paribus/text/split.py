"""Train, dev and test by the hash of a document's name: stable under order, additions and machines."""

import hashlib

SPLITS = ("train", "dev", "test")


def split_of(name: str) -> str:
    """SHA-256(name) mod 20: 0 is test, 1 is dev, the other 18 are train.

    >>> split_of("abc.py")
    'train'
    """
    remainder = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest(), "big") % 20
    return {0: "test", 1: "dev"}.get(remainder, "train")
