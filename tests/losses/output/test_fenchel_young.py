import pytest
import torch

from paribus.core.errors import ConfigError
from paribus.losses.fenchel_young import FenchelYoung
from paribus.losses.output.cross_entropy import CrossEntropy
from paribus.losses.output.fenchel_young import OutputFenchelYoung
from paribus.normalizers.entmax15 import Entmax15
from paribus.normalizers.softmax import Softmax
from paribus.normalizers.topk.laplace import LaplaceTopK


def test_the_loss_of_the_scores():
    hidden, head = torch.randn(12, 6, dtype=torch.float64), torch.randn(33, 6, dtype=torch.float64)
    target = torch.randint(0, 33, (12,))
    for normalizer in (Softmax(), Entmax15()):
        found = OutputFenchelYoung(normalizer=normalizer, chunk=5).each(hidden, head, target)
        torch.testing.assert_close(found, FenchelYoung(normalizer=normalizer)(hidden @ head.T, target))
    softmax = OutputFenchelYoung(normalizer=Softmax())
    torch.testing.assert_close(softmax(hidden, head, target), CrossEntropy()(hidden, head, target))


def test_members_without_one_hot_weights():
    with pytest.raises(ConfigError, match="never one-hot"):
        OutputFenchelYoung(normalizer=LaplaceTopK())
