"""Distances and drawn text against what is known: a uniform model, one that is sure, and counts by hand."""

import math

import numpy as np
import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import ConfigError
from paribus.data.batch import IGNORED, Batch, digest_of
from paribus.data.synthetic.copy_task import Copy
from paribus.evaluation.samples import Samples, judge_vectors, variation
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM

V = 7
METRIC = Samples(length=12, prompt=2, drawn=6, windows=9, rank=3)


def text(count: int = 9, length: int = 12) -> Batch:
    """Every token is followed by the next one of the alphabet, from a random start."""
    start = np.random.default_rng(0).integers(V, size=(count, 1))
    rows = (start + np.arange(length + 1)) % V
    return Batch(rows[:, :-1].copy(), rows[:, 1:].copy(), digest_of(rows))


def model(scale: float = 0.0) -> DecoderLM:
    """scale 0: uniform. A large one: sure of the next token of the alphabet."""
    config = DecoderLM.Config(
        n_layers=1,
        d_model=2 * V,
        mixer=GroupedQuery.Config(n_heads=1),
        feed_forward=FeedForward.Config(d_ff=4),
        vocab_size=V,
        tie_embeddings=False,
    )
    made = config.build()
    draw(made, 0)
    with torch.no_grad():
        for layer in made.layers:
            for weight in layer.parameters():
                weight.zero_()
        made.embedding.weight.copy_(torch.eye(V, 2 * V))
        made.head.weight.copy_(scale * torch.eye(V, 2 * V).roll(1, 0))
    return made


def test_a_model_that_knows_nothing():
    found = METRIC.measure(model(), text())
    assert tuple(found) == METRIC.names()
    assert found["loss"] == pytest.approx(math.log(V))
    judge = judge_vectors(text(), V, 3)
    mean = 1 - (judge.mean(0) * judge[torch.from_numpy(text().targets).flatten()]).sum(-1)
    assert found["distance"] == pytest.approx(float(mean.mean()), rel=1e-5)
    assert 0.4 < found["bigrams"] <= 1


def test_a_model_that_knows_everything():
    found = METRIC.measure(model(100.0), text())
    assert found["loss"] < 1e-6
    assert found["distance"] == pytest.approx(0, abs=1e-5)
    assert found["bigrams"] < 0.2  # other prompts' continuations: the same pairs, in other shares


def test_draws_are_the_same_for_every_call_and_dtype_is_taken():
    made = model(0.5)
    first = METRIC.measure(made, text())
    assert METRIC.measure(made, text()) == first
    assert METRIC.measure(made, text(), "bfloat16")["loss"] == pytest.approx(first["loss"], rel=0.02)
    assert not any(weight.grad is not None for weight in made.parameters())


def test_padding_counts_for_nothing():
    padded = text()
    padded.tokens[:, 10:], padded.targets[:, 10:] = 0, IGNORED
    short = Batch(padded.tokens[:, :10], padded.targets[:, :10], padded.digest)
    for name, value in METRIC.measure(model(0.5), padded).items():
        assert value == pytest.approx(METRIC.measure(model(0.5), short)[name], abs=1e-6)


def test_short_windows_are_read_and_not_continued():
    some = text()
    some.tokens[3, 5:], some.targets[3, 5:] = 0, IGNORED
    without = Batch(*(np.delete(one, 3, axis=0) for one in (some.tokens, some.targets)), some.digest)
    found, fewer = (METRIC.measure(model(100.0), one) for one in (some, without))
    assert found["bigrams"] == fewer["bigrams"]
    assert found["loss"] == pytest.approx(fewer["loss"])


def test_variation_by_hand():
    one = torch.tensor([[0, 1, 0, 1]])  # 01, 10, 01
    other = torch.tensor([[0, 1, 2, 2]])  # 01, 12, 22
    assert variation(one, other, 3) == pytest.approx(2 / 3)
    assert variation(one, one, 3) == 0
    assert variation(one, torch.tensor([[2, 2]]), 3) == 1


def test_the_judge_by_a_whole_decomposition():
    rows = np.random.default_rng(1).integers(5, size=(30, 20))
    windows = Batch(rows, rows, "")
    found = judge_vectors(windows, 6, 3).double().numpy()
    counts = np.zeros((6, 6))
    for row in rows:
        for i in range(20):
            for j in (i + 1, i + 2):
                if j < 20:
                    counts[row[i], row[j]] += 1
                    counts[row[j], row[i]] += 1
    share = counts.sum(1) / counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        positive = np.maximum(np.nan_to_num(np.log(counts / counts.sum() / np.outer(share, share)), neginf=0), 0)
    left, singular, _ = np.linalg.svd(positive)
    expected = (left * singular)[:, :3]
    expected[:5] /= np.linalg.norm(expected[:5], axis=1, keepdims=True)
    assert np.abs(found @ found.T - expected @ expected.T).max() < 1e-4
    assert (found[5] == 0).all()  # a token that never comes up


def test_what_it_says_of_itself():
    assert METRIC.worst("loss", Copy(vocab_size=V)) == math.log(V)
    assert METRIC.worst("distance", Copy(vocab_size=V)) == METRIC.worst("bigrams", Copy(vocab_size=V)) == 1
    assert all(METRIC.unit(name) and METRIC.lower_is_better(name) for name in METRIC.names())
    assert METRIC.tokens_read() == 9 * (12 + 8)
    with pytest.raises(ConfigError, match=r"no window has 2 \+ 6 tokens, the longest 7: take longer"):
        METRIC.measure(model(), text(length=7))
    with pytest.raises(ConfigError, match="Samples draws text from a DecoderLM only"):
        METRIC.measure(torch.nn.Linear(1, 1), text())
    for fields in ({"prompt": 0}, {"drawn": 1}, {"length": 7}, {"rank": 0}, {"windows": 0}):
        with pytest.raises(ConfigError, match=next(iter(fields))):
            Samples(**({"length": 12, "prompt": 2, "drawn": 6} | fields))
