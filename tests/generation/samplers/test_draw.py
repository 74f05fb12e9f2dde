import pytest
import torch
from scipy.stats import chisquare

from paribus.generation.filters.temperature import Temperature
from paribus.generation.filters.top_k import TopK
from paribus.generation.samplers.draw import Draw


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_draws_follow_the_softmax(temperature):
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.3])
    n = 20_000
    uniform = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    sampler = Draw(filters=(Temperature(temperature=temperature),))
    drawn = sampler(logits.expand(n, -1), torch.full((n, 1), -1), uniform)
    expected = n * torch.softmax(logits.double() / temperature, dim=-1)
    assert chisquare(torch.bincount(drawn, minlength=5), expected).pvalue > 1e-3


def test_filters_act_in_their_order():
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    uniform = torch.zeros(1, dtype=torch.float64)
    assert Draw(filters=(TopK(k=1),))(logits, torch.zeros(1, 0, dtype=torch.int64), uniform).tolist() == [2]
