"""Every loss of scores: one number a row, never below its floor, gradients that stay finite, ignored rows silent."""

import pytest
import torch

from paribus.core.discovery import members
from paribus.core.errors import InputError
from paribus.data.batch import IGNORED
from paribus.losses.base import Loss
from paribus.losses.multilabel import MultilabelCrossEntropy
from paribus.losses.sparse_multilabel import SparseMultilabelCrossEntropy

EXAMPLES = [example for cls in members(Loss) for example in cls.examples]
LISTED = (MultilabelCrossEntropy, SparseMultilabelCrossEntropy)
every = pytest.mark.parametrize("loss", EXAMPLES, ids=lambda loss: type(loss).__name__)
of_one_index = pytest.mark.parametrize(
    "loss", [loss for loss in EXAMPLES if not isinstance(loss, LISTED)], ids=lambda loss: type(loss).__name__
)


def target_for(loss, rows, n):
    generator = torch.Generator().manual_seed(5)
    if isinstance(loss, MultilabelCrossEntropy):
        return torch.rand(*rows, n, generator=generator) < 0.3
    if isinstance(loss, SparseMultilabelCrossEntropy):
        return torch.randint(0, n, (*rows, 2), generator=generator)
    return torch.randint(0, n, rows, generator=generator)


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Loss))


@every
@pytest.mark.parametrize("rows", [(), (5,), (2, 3)])
@pytest.mark.parametrize("n", [1, 7])
def test_a_loss_for_every_row_and_its_gradient(loss, rows, n):
    scores = torch.randn(*rows, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    target = target_for(loss, rows, n)
    assert loss(scores, target).shape == rows
    (grad,) = torch.autograd.grad(loss(scores, target).sum(), scores)
    assert grad.isfinite().all()


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_half_precision_and_huge_scores(loss, dtype):
    scores = (torch.randn(4, 9, generator=torch.Generator().manual_seed(1)) * 1e4).to(dtype).requires_grad_()
    value = loss(scores, target_for(loss, (4,), 9))
    assert value.isfinite().all()
    (grad,) = torch.autograd.grad(value.sum(), scores)
    assert grad.dtype == dtype
    assert grad.isfinite().all()


@of_one_index
def test_ignored_rows_and_wrong_targets(loss):
    scores = torch.randn(3, 5, requires_grad=True)
    target = torch.tensor([1, IGNORED, 4])
    value = loss(scores, target)
    assert value[1] == 0
    (grad,) = torch.autograd.grad(value.sum(), scores)
    assert (grad[1] == 0).all()
    assert (grad[0] != 0).any()
    for wrong in (torch.tensor([1, 5, 0]), torch.tensor([1, -1, 0]), torch.tensor([1, 2])):
        with pytest.raises(InputError, match="expected"):
            loss(scores, wrong)
