import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.normalizers.softmax import Softmax
from paribus.normalizers.sparse_softmax import SparseSoftmax


def test_softmax_over_the_k_largest():
    scores = torch.randn(6, 31, dtype=torch.float64)
    weights = SparseSoftmax(k=4)(scores)
    assert ((weights > 0).sum(-1) == 4).all()
    best = scores.topk(4)
    torch.testing.assert_close(weights.gather(-1, best.indices), best.values.softmax(-1))


def test_ties_are_kept_and_short_rows_keep_all():
    torch.testing.assert_close(SparseSoftmax(k=2)(torch.tensor([1.0, 1.0, 1.0, 0.0])), torch.tensor([1, 1, 1, 0]) / 3)
    scores = torch.randn(3, 5)
    assert torch.equal(SparseSoftmax(k=5)(scores), Softmax()(scores))
    assert torch.equal(SparseSoftmax(k=50)(scores), Softmax()(scores))
    mask = torch.tensor([True, True, False, False, True])
    assert torch.equal(SparseSoftmax(k=3)(scores, mask), Softmax()(scores, mask))


def test_k_below_one():
    with pytest.raises(ConfigError, match="k = 0"):
        SparseSoftmax(k=0)
