import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.normalizers.alpha_entmax import AlphaEntmax
from paribus.normalizers.learned_entmax import LearnedEntmax


def test_it_starts_as_the_fixed_map():
    scores = torch.randn(2, 3, 5, 17, generator=torch.Generator().manual_seed(0))
    for config in (LearnedEntmax.Config(start=1.3), LearnedEntmax.Config(n_heads=3, start=1.3)):
        module = config.build()
        assert sum(weight.numel() for weight in module.parameters()) == config.n_parameters()
        torch.testing.assert_close(module(scores), AlphaEntmax(alpha=1.3)(scores), rtol=1e-4, atol=1e-6)


def test_each_head_learns_the_alpha_that_made_its_weights():
    scores = torch.randn(1, 3, 64, 33, generator=torch.Generator().manual_seed(0)) * 2
    wanted = (1.15, 1.5, 1.85)
    truth = torch.cat([AlphaEntmax(alpha=alpha)(scores[:, i : i + 1]) for i, alpha in enumerate(wanted)], dim=1)
    module = LearnedEntmax.Config(n_heads=3).build()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.2)
    for _ in range(80):
        optimizer.zero_grad()
        ((module(scores) - truth) ** 2).sum().backward()
        optimizer.step()
    assert module.alpha.flatten().tolist() == pytest.approx(wanted, abs=0.02)


def test_the_start_and_a_config_used_as_it_is():
    for start in (1.0, 2.0, 1.001):
        with pytest.raises(ConfigError, match="start"):
            LearnedEntmax.Config(start=start)
    with pytest.raises(ConfigError, match="n_heads"):
        LearnedEntmax.Config(n_heads=0)
    with pytest.raises(ConfigError, match="build"):
        LearnedEntmax.Config()(torch.zeros(3))
