"""Linear and Embedding: y = x W^T without bias, rows of a table, and logits from the same table."""

import pytest
import torch

from paribus.layers.embedding import Embedding
from paribus.layers.linear import Linear
from paribus.layers.parameters import draw


@pytest.mark.parametrize("shape", [(1,), (5, 7), (2, 1, 63)])
def test_linear_multiplies_the_last_axis(shape):
    layer = Linear(shape[-1], 11)
    draw(layer, 0)
    x = torch.randn(shape)
    torch.testing.assert_close(layer(x), torch.einsum("...i,oi->...o", x, layer.weight))
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_embedding_reads_rows_and_tells_them_apart():
    table = Embedding(13, 7)
    draw(table, 0)
    tokens = torch.tensor([[0, 12, 5], [5, 5, 1]])
    assert torch.equal(table(tokens), table.weight[tokens])
    x = torch.randn(2, 3, 7)
    torch.testing.assert_close(table.logits(x), torch.einsum("btd,vd->btv", x, table.weight))
    assert float(Embedding(256, 128).weight.paribus_normal[1]) == 0.02
