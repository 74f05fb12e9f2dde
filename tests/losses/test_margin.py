import torch
from torch.nn import functional as F

from paribus.losses.margin import MarginCrossEntropy
from paribus.normalizers.margin_softmax import MarginSoftmax


def test_formula():
    cosines = torch.rand(5, 7, dtype=torch.float64) * 2 - 1
    target = torch.tensor([0, 6, 3, 3, 1])
    lowered = 8 * (cosines - 0.2 * F.one_hot(target, 7))
    found = MarginCrossEntropy(normalizer=MarginSoftmax(scale=8.0, margin=0.2))(cosines, target)
    torch.testing.assert_close(found, F.cross_entropy(lowered, target, reduction="none"))
    without = MarginCrossEntropy(normalizer=MarginSoftmax(scale=8.0, margin=0.0))(cosines, target)
    assert (found > without).all()
