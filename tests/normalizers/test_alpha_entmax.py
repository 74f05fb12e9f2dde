import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.normalizers.alpha_entmax import AlphaEntmax
from paribus.normalizers.entmax15 import Entmax15
from paribus.normalizers.sparsemax import Sparsemax


def test_named_members_are_special_cases():
    scores = torch.randn(5, 63, generator=torch.Generator().manual_seed(0)) * 3
    assert torch.equal(AlphaEntmax(alpha=2.0)(scores), Sparsemax()(scores))
    assert torch.equal(AlphaEntmax(alpha=1.5)(scores), Entmax15()(scores))


def test_a_larger_alpha_keeps_fewer_keys():
    scores = torch.randn(8, 501, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sizes = [(AlphaEntmax(alpha=alpha)(scores) > 0).sum() for alpha in (1.1, 1.3, 1.5, 1.7, 2.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


@pytest.mark.parametrize("alpha", [1.0, 0.5, -1.0, 2.5, float("nan")])
def test_alpha_out_of_range(alpha):
    with pytest.raises(ConfigError, match="expected 1 < alpha <= 2"):
        AlphaEntmax(alpha=alpha)
