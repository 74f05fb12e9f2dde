import pytest
import torch

from paribus.core.discovery import members
from paribus.losses.reductions.base import Reduction
from paribus.losses.reductions.sequence_mean import SequenceMean
from paribus.losses.reductions.sequence_sum import SequenceSum
from paribus.losses.reductions.token_mean import TokenMean

EXAMPLES = [example for cls in members(Reduction) for example in cls.examples]
LOSSES = torch.tensor([[1.0, 2.0, 3.0], [4.0, torch.nan, torch.nan], [torch.nan] * 3])
KEPT = torch.tensor([[True, True, True], [True, False, False], [False] * 3])


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Reduction))


@pytest.mark.parametrize("reduction", EXAMPLES, ids=str)
def test_what_is_not_kept_has_no_say(reduction):
    losses = LOSSES.clone().requires_grad_()
    (grad,) = torch.autograd.grad(reduction(losses, KEPT), losses)
    assert torch.equal(grad != 0, KEPT)
    nothing = torch.zeros_like(KEPT)
    value = reduction(losses, nothing)
    assert value == 0
    (grad,) = torch.autograd.grad(value, losses)
    assert (grad == 0).all()


def test_values():
    assert TokenMean()(LOSSES, KEPT).item() == pytest.approx((1 + 2 + 3 + 4) / 4)
    assert SequenceMean()(LOSSES, KEPT).item() == pytest.approx((2 + 4) / 2)
    assert SequenceSum()(LOSSES, KEPT).item() == pytest.approx((6 + 4) / 2)
