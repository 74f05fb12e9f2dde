import pytest
import torch
from scipy import stats

from paribus.core.errors import ConfigError
from paribus.normalizers.gumbel_max import GumbelMax


def test_a_million_draws_have_these_probabilities():
    member = GumbelMax(scale=0.7)
    scores = torch.tensor([0.3, -1.0, 0.0, 1.2, 5.0])
    mask = torch.tensor([True, True, True, True, False])
    drawn = member.sample(scores.expand(1_000_000, 5), mask, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=5)
    assert counts[4] == 0
    expected = member(scores.double(), mask)[:4] * 1_000_000
    assert stats.chisquare(counts[:4].numpy(), expected.numpy()).pvalue > 1e-3


def test_the_scale():
    with pytest.raises(ConfigError, match="scale"):
        GumbelMax(scale=0.0)
