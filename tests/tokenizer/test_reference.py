"""The plain-Python twin against enumeration: what the specification itself promises."""

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.tokenizer.reference import Reference, chunks, uniform

PIECES = [bytes([b]) for b in range(256)] + [b"ab", b"abc", b"bc", b"cab", b"\n\n", b"b\n"]
SCORES = [-6.0 - b / 256 for b in range(256)] + [-3.0, -4.5, -3.25, -5.0, -2.0, -4.0]


def every_split(chunk: bytes) -> list[list[bytes]]:
    cuts = [
        [i for i, cut in enumerate(choice, start=1) if cut]
        for choice in itertools.product([0, 1], repeat=len(chunk) - 1)
    ]
    splits = [[chunk[a:b] for a, b in itertools.pairwise([0, *inside, len(chunk)])] for inside in cuts]
    return [split for split in splits if all(piece in PIECES for piece in split)]


def total(split: list[bytes], alpha: float = 1.0) -> float:
    return sum(alpha * SCORES[PIECES.index(piece)] for piece in split)


@settings(deadline=None)
@given(st.text("abc\n", min_size=1, max_size=9).map(str.encode))
def test_encode_is_the_best_of_all_segmentations(data: bytes) -> None:
    reference = Reference(PIECES, SCORES)
    assert b"".join(chunks(data)) == data
    for chunk in chunks(data):
        found = reference.best(chunk)
        assert sum(SCORES[i] for i in found) == pytest.approx(max(map(total, every_split(chunk))), abs=1e-12)
        assert reference.decode(found) == chunk


def test_ties_go_to_the_longest_last_piece() -> None:
    scores = [-1.0] * 256 + [-2.0, -2.0]
    reference = Reference([*PIECES[:256], b"ab", b"bc"], scores)
    assert reference.decode(reference.best(b"abc")[-1:]) == b"bc"


def test_samples_follow_the_weights() -> None:
    reference = Reference(PIECES, SCORES)
    chunk, alpha, n = b"abcab", 0.3, 4000
    splits = every_split(chunk)
    weights = [math.exp(total(split, alpha)) for split in splits]
    drawn = Counter(tuple(reference.sample(chunk, alpha, seed=7, document=d)) for d in range(n))
    assert set(drawn) <= {tuple(PIECES.index(piece) for piece in split) for split in splits}
    chi2 = sum(
        (drawn[tuple(PIECES.index(piece) for piece in split)] - n * w / sum(weights)) ** 2 / (n * w / sum(weights))
        for split, w in zip(splits, weights)
    )
    freedom = len(splits) - 1
    assert chi2 < freedom + 5 * math.sqrt(2 * freedom)


def test_uniform_is_a_function_of_seed_document_and_position() -> None:
    values = [
        uniform(seed, document, position) for seed in range(4) for document in range(4) for position in range(500)
    ]
    assert len(set(values)) == len(values)
    assert 0 <= min(values) < max(values) < 1
    assert sum(values) / len(values) == pytest.approx(0.5, abs=0.02)
