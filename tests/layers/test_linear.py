"""Linear and Embedding: y = x W^T without bias, rows of a table, and logits from the same table."""

import pytest
import torch

from paribus.layers.embedding import Embedding
from paribus.layers.linear import Linear, together
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


@pytest.mark.parametrize("length", [3, 700])
def test_several_together_are_each_alone(length):
    """One product of stacked matrices against one for each: outputs and gradients, above and below where it pays."""
    layers = [Linear(24, width).double() for width in (24, 7, 1)]
    for layer in layers:
        torch.nn.init.normal_(layer.weight)
    x = torch.randn(2, length, 24, dtype=torch.float64)
    results = []
    for program in (lambda y: together(y, layers), lambda y: [layer(y) for layer in layers]):
        own = x.clone().requires_grad_()
        found = program(own)
        grads = torch.autograd.grad(sum(y.square().sum() for y in found), [own, *(layer.weight for layer in layers)])
        results.append([*found, *grads])
    torch.testing.assert_close(results[0], results[1])


def test_a_watched_layer_is_called_alone():
    layers, seen = [Linear(32, 5), Linear(32, 5)], []
    layers[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    together(torch.randn(1, 1000, 32), layers)
    assert len(seen) == 1
