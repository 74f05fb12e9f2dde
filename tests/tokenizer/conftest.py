import random
from collections.abc import Callable

import pytest

from paribus import Tokenizer
from paribus.tokenizer.bytepiece import BytePiece

WORDS = [
    "the", "of", "and", "to", "的", "是", "龘", "naïve", "café\n", "0123", "٣٤", "\r\n", "\n\n\x00", "␣",
    "👩\u200d👩\u200d👧", "e\u0301", "import", "numpy", "as", "np", "def", "f(x):",
]  # fmt: skip


def texts(seed: int, n: int, size: int) -> list[bytes]:
    """Texts in several scripts with repetitions, some with stray bytes."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        text = " ".join(rng.choices(WORDS, k=size)).encode()
        made.append(text + bytes(rng.choices(range(256), k=9)) if i % 3 == 0 else text)
    return made


@pytest.fixture(scope="session")
def small() -> Tokenizer:
    """The model that comes with the package: 1022 tokens."""
    return BytePiece().tokenizer


@pytest.fixture(scope="session")
def mixed() -> Tokenizer:
    """A model with pieces of several scripts and deep nesting."""
    corpus = [*texts(0, 30, 80), b"a" * 300, b"ab" * 200]
    return Tokenizer.train(corpus, vocab_size=500, min_count=2)


@pytest.fixture(scope="session")
def make_texts() -> Callable[[int, int, int], list[bytes]]:
    return texts
