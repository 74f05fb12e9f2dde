"""Every member inside an attention: token by token over a cache gives what the whole sequence gives."""

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.discovery import members
from paribus.layers.parameters import draw
from paribus.normalizers.base import Normalizer

PLAIN = [cls for cls in members(Normalizer) if cls.examples[0].build() is cls.examples[0]]


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_steps_equal_the_whole(kind):
    layer = GroupedQuery.Config(d_model=12, n_heads=2, normalizer=kind.examples[0]).build()
    draw(layer, 0)
    x, positions = torch.randn(2, 9, 12), torch.arange(9).expand(2, 9)
    whole = layer(x, positions)
    assert whole.isfinite().all()
    state = layer.start(2, 9, torch.float32, torch.device("cpu"))
    steps = []
    for i in range(9):
        y, state = layer.prefill(x[:, i : i + 1], positions[:, i : i + 1], state)
        steps.append(y)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-4, atol=1e-5)
    assert torch.autograd.grad(whole.square().sum(), layer.query.weight)[0].isfinite().all()
