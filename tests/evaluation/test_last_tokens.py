"""The same last targets at every length, against a direct computation."""

import math

import numpy as np
import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import ConfigError
from paribus.data.batch import IGNORED, Batch
from paribus.evaluation import score
from paribus.evaluation.last_tokens import LastTokens
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM

CONFIG = DecoderLM.Config(
    n_layers=2,
    d_model=16,
    mixer=GroupedQuery.Config(n_heads=2),
    feed_forward=FeedForward.Config(d_ff=16),
    vocab_size=7,
)
METRIC = LastTokens(last=3, at=(3, 5, 12), windows=10)


@pytest.fixture
def model() -> DecoderLM:
    model = CONFIG.build()
    draw(model, 0)
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # far from uniform
    return model.eval()


def windows(length: int = 12) -> Batch:
    random = np.random.default_rng(1)
    tokens, targets = random.integers(7, size=(2, 10, length))
    return Batch(tokens, targets, "")


def directly(model: DecoderLM, batch: Batch, n: int) -> tuple[float, float]:
    """Window by window, target by target, with the full softmax in float64."""
    losses, hits = [], []
    for tokens, targets in zip(batch.tokens, batch.targets):
        with torch.no_grad():
            logits = model(torch.from_numpy(tokens[-n:])[None])[0].double()
        for place in (-3, -2, -1):
            if targets[place] != IGNORED:
                losses.append(-float(logits[place].log_softmax(dim=-1)[targets[place]]))
                hits.append(int(logits[place].argmax()) == targets[place])
    return float(np.mean(losses)), float(np.mean(hits))


def test_against_a_direct_computation(model):
    batch = windows()
    found = METRIC.measure(model, batch)
    assert tuple(found) == METRIC.names() == ("loss@3", "loss@5", "loss@12", "accuracy@3", "accuracy@5", "accuracy@12")
    for n in METRIC.at:
        loss, accuracy = directly(model, batch, n)
        assert found[f"loss@{n}"] == pytest.approx(loss, rel=1e-5)
        assert found[f"accuracy@{n}"] == pytest.approx(accuracy, abs=1e-12)
    assert len({found[f"loss@{n}"] for n in METRIC.at}) == 3


def test_the_same_targets_at_every_length(model):
    """A model that sees only its current token scores the same whatever comes before."""

    class Shortsighted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(7, 7)

        def forward(self, tokens: torch.Tensor, last: int) -> torch.Tensor:
            return self.table(tokens)[:, -last:]

    found = METRIC.measure(Shortsighted(), windows())
    assert len({found[f"loss@{n}"] for n in METRIC.at}) == 1
    assert len({found[f"accuracy@{n}"] for n in METRIC.at}) == 1
    # Windows that are longer than asked are read from their end.
    longer = windows(30)
    cut = Batch(longer.tokens[:, -12:], longer.targets[:, -12:], "")
    assert METRIC.measure(model, longer) == METRIC.measure(model, cut)


@pytest.mark.parametrize("at_once", [1, 24, 37, 10_000])
def test_how_many_rows_are_read_at_once_does_not_matter(model, monkeypatch, at_once):
    expected = METRIC.measure(model, windows())
    monkeypatch.setattr(score, "TOKENS_AT_ONCE", at_once)
    assert METRIC.measure(model, windows()) == pytest.approx(expected, rel=1e-6)


def test_targets_that_do_not_count(model):
    batch = windows()
    batch.targets[::2, -2] = IGNORED
    found = METRIC.measure(model, batch)
    for n in METRIC.at:
        loss, accuracy = directly(model, batch, n)
        assert found[f"loss@{n}"] == pytest.approx(loss, rel=1e-5)
        assert found[f"accuracy@{n}"] == pytest.approx(accuracy, abs=1e-12)
    batch.targets[:] = IGNORED
    with pytest.raises(ConfigError, match="no target among the last tokens of the windows counts"):
        METRIC.measure(model, batch)


def test_bfloat16_reads_nearly_the_same(model):
    """Autocast rounds to 8 bits: losses of a few nats within 2 %."""
    exact, rounded = METRIC.measure(model, windows()), METRIC.measure(model, windows(), dtype="bfloat16")
    for n in METRIC.at:
        assert rounded[f"loss@{n}"] == pytest.approx(exact[f"loss@{n}"], rel=0.02)
        assert math.isfinite(rounded[f"loss@{n}"])
    assert rounded != exact


def test_what_it_says_of_itself():
    assert METRIC.longest == 12
    assert METRIC.tokens_read() == 10 * (3 + 5 + 12)
    assert METRIC.unit("loss@5") == "nats per token"
    assert METRIC.unit("accuracy@5") == "share of tokens"
    assert METRIC.lower_is_better("loss@5")
    assert not METRIC.lower_is_better("accuracy@5")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at": ()}, "expected at least one context length"),
        ({"last": 6}, "last = 6: expected 1 to 5, the shortest context length"),
        ({"last": 0}, "last = 0: expected 1 to 5"),
        ({"windows": 0}, "windows = 0: expected at least 1"),
    ],
)
def test_impossible_metrics(change, said):
    with pytest.raises(ConfigError, match=said):
        LastTokens(**{"last": 2, "at": (5, 9)} | change)
