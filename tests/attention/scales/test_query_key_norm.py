"""QK norm against its formula, its bound, and what it is beside cosine and key norm."""

import math

import pytest
import torch
from torch.nn import functional as F

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.latent import Latent
from paribus.attention.scales.cosine import Cosine
from paribus.attention.scales.query_key_norm import QueryKeyNorm
from paribus.core.errors import ConfigError
from paribus.layers.parameters import draw


def logits(scale, q, k):
    q, k, factor = scale(q, k, None)
    return factor * q @ k.transpose(-1, -2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_it_is_rms_norm_of_the_heads(dtype):
    scale = QueryKeyNorm.Config(eps=1e-3).build(12).to(dtype)
    torch.nn.init.normal_(scale.query.gain)
    torch.nn.init.normal_(scale.key.gain)
    q, k = torch.randn(2, 2, 3, 5, 12, dtype=dtype)
    found_q, found_k, factor = scale(q, k, None)
    torch.testing.assert_close(found_q, F.rms_norm(q, (12,), scale.query.gain, 1e-3))
    torch.testing.assert_close(found_k, F.rms_norm(k, (12,), scale.key.gain, 1e-3))
    assert factor == 1 / math.sqrt(12)


def test_with_gains_of_one_it_is_a_cosine():
    q, k = torch.randn(2, 1, 2, 7, 16)
    torch.testing.assert_close(
        logits(QueryKeyNorm.Config().build(16), q, k), logits(Cosine(strength=4.0), q, k), rtol=1e-4, atol=1e-4
    )


def test_gains_bound_the_scores_and_no_query_can_sharpen_its_own():
    scale = QueryKeyNorm.Config().build(16)
    torch.nn.init.uniform_(scale.query.gain, -3, 3)
    torch.nn.init.uniform_(scale.key.gain, -2, 2)
    q, k = 100 * torch.randn(2, 1, 2, 50, 16)
    bound = math.sqrt(16) * scale.query.gain.abs().max() * scale.key.gain.abs().max()
    assert logits(scale, q, k).abs().max() <= bound * (1 + 1e-5)
    torch.testing.assert_close(logits(scale, 7 * q, k / 3), logits(scale, q, k), rtol=1e-4, atol=1e-4)


def test_a_layer_learns_the_gains():
    config = GroupedQuery.Config(d_model=24, n_heads=4, n_kv_heads=2, scale=QueryKeyNorm.Config())
    layer = config.build()
    draw(layer, 0)
    assert sum(p.numel() for p in layer.parameters()) == config.n_parameters()
    layer(torch.randn(1, 5, 24), torch.arange(5)[None]).square().sum().backward()
    assert layer.scale.query.gain.grad.abs().max() > 0
    assert layer.scale.key.gain.grad.abs().max() > 0


def test_refusals():
    with pytest.raises(ConfigError, match="expected a positive number, such as 1e-6"):
        QueryKeyNorm.Config(eps=0.0)
    with pytest.raises(ConfigError, match=r"call config.build\(head_dim\)"):
        QueryKeyNorm.Config().build()
    with pytest.raises(ConfigError, match=r"has gains: call config\.build"):
        QueryKeyNorm.Config()(torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 1, 4), None)
    with pytest.raises(ConfigError, match="changes keys, which are not held in full here"):
        Latent.Config(d_model=24, n_heads=4, latent=8, rope_dim=2, scale=QueryKeyNorm.Config())
