import torch

from paribus.normalizers.off_by_one import OffByOne


def test_formula_and_limits():
    scores = torch.randn(4, 7, dtype=torch.float64)
    torch.testing.assert_close(OffByOne()(scores), scores.exp() / (1 + scores.exp().sum(-1, keepdim=True)))
    assert (OffByOne()(scores - 1000) == 0).all()
    torch.testing.assert_close(OffByOne()(scores + 1000), scores.softmax(-1))
