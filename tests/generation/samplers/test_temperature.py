import pytest
import torch
from scipy.stats import chisquare

from paribus.core.errors import ConfigError
from paribus.generation.samplers.temperature import Temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_draws_follow_the_softmax(temperature):
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.3])
    n = 20_000
    drawn = Temperature(temperature=temperature)(logits.expand(n, -1), torch.Generator().manual_seed(3))
    expected = n * torch.softmax(logits.double() / temperature, dim=-1)
    assert chisquare(torch.bincount(drawn, minlength=5), expected).pvalue > 1e-3


def test_temperatures_that_make_no_sense():
    for temperature in (0.0, -1.0):
        with pytest.raises(ConfigError, match="for the most likely token use Greedy"):
            Temperature(temperature=temperature)
