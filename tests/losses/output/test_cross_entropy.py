import pytest
import torch
from torch.nn import functional as F

from paribus.core.errors import ConfigError
from paribus.data.batch import IGNORED
from paribus.losses.output.cross_entropy import CrossEntropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_torch_agrees(smoothing):
    hidden = torch.randn(4, 9, 6, dtype=torch.float64, requires_grad=True)
    head = torch.randn(33, 6, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 33, (4, 9))
    target[1, 2:5] = IGNORED
    plain = F.cross_entropy(
        (hidden @ head.T).flatten(0, 1), target.flatten(), ignore_index=IGNORED, label_smoothing=smoothing
    )
    found = CrossEntropy(chunk=5, smoothing=smoothing)(hidden, head, target)
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(torch.autograd.grad(found, (hidden, head)), torch.autograd.grad(plain, (hidden, head)))


def test_huge_logits():
    hidden = torch.tensor([[1e4, -1e4]], requires_grad=True)
    value = CrossEntropy()(hidden, torch.eye(2), torch.tensor([1]))
    assert value.item() == 2e4
    assert torch.autograd.grad(value, hidden)[0].tolist() == [[1.0, -1.0]]


def test_wrong_smoothing():
    with pytest.raises(ConfigError, match=r"smoothing = -0\.1: expected 0 <= smoothing < 1"):
        CrossEntropy(smoothing=-0.1)
