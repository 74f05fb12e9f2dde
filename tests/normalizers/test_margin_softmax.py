import pytest
import torch
from torch.nn import functional as F

from paribus.core.errors import ConfigError
from paribus.normalizers.margin_softmax import MarginSoftmax


def test_the_margin_lowers_the_target_only_and_is_left_out_of_the_weights():
    scores = torch.rand(5, 7, dtype=torch.float64) * 2 - 1
    target = torch.tensor([0, 6, 3, 3, 1])
    member = MarginSoftmax(scale=4.0, margin=0.3)
    torch.testing.assert_close(member(scores), torch.softmax(4 * scores, -1))
    lowered = member.lowered(scores, target)
    torch.testing.assert_close(scores - lowered, 0.3 * F.one_hot(target, 7).double())


def test_values_that_make_no_sense():
    for wrong in ({"scale": 0.0}, {"margin": -0.1}, {"margin": 2.0}):
        with pytest.raises(ConfigError, match="expected"):
            MarginSoftmax(**wrong)
