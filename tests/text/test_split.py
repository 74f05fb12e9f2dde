"""The split hangs on the name alone."""

import hashlib
from collections import Counter

from paribus.text.split import SPLITS, split_of


def test_the_rule():
    for k in range(200):
        name = f"folder/{k}.py"
        remainder = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 20
        assert split_of(name) == ("test" if remainder == 0 else "dev" if remainder == 1 else "train")


def test_shares():
    counts = Counter(split_of(str(k)) for k in range(4000))
    assert set(counts) == set(SPLITS)
    # Binomial with p = 1/20: mean 200, standard deviation 13.8.
    assert all(abs(counts[split] - 200) < 4 * 13.8 for split in ("dev", "test"))


def test_a_name_that_is_no_unicode_has_a_split():
    assert split_of("caf\udce9.txt") in SPLITS
