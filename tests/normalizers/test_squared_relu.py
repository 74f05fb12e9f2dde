import torch

from paribus.normalizers.squared_relu import SquaredRelu


def test_formula():
    mask = torch.tensor([True, True, True, False])
    scores = torch.tensor([2.0, -1.0, 3.0, 9.0])
    assert SquaredRelu()(scores, mask).tolist() == torch.tensor([4 / 3, 0, 3, 0]).tolist()
