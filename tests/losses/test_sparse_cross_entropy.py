import pytest
import torch
from torch.nn import functional as F

from paribus.losses.fenchel_young import FenchelYoung
from paribus.losses.sparse_cross_entropy import SparseCrossEntropy
from paribus.normalizers.sparse_softmax import SparseSoftmax

K3 = SparseSoftmax(k=3)


def case():
    scores = 2 * torch.randn(40, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = torch.arange(40) % 9
    return scores.requires_grad_(), target, K3.support(scores).gather(-1, target[:, None])[:, 0]


def test_it_is_the_loss_that_belongs_to_sparse_softmax():
    scores, target, inside = case()
    loss = SparseCrossEntropy(normalizer=K3)(scores, target)
    torch.testing.assert_close(loss, FenchelYoung(normalizer=K3)(scores, target))
    (grad,) = torch.autograd.grad(loss.sum(), scores)
    torch.testing.assert_close(grad, (K3(scores) - F.one_hot(target, 9)).detach())
    # A target outside the k largest: weight 0, a finite loss above 0, gradient -1.
    assert (~inside).sum() > 10
    assert (loss[~inside] > 0).all()
    assert (grad[~inside].gather(-1, target[~inside, None]) == -1).all()


def test_a_target_that_is_kept():
    scores, target, inside = case()
    loss = SparseCrossEntropy(normalizer=K3, keep_target=True)(scores, target)
    plain = SparseCrossEntropy(normalizer=K3)(scores, target)
    torch.testing.assert_close(loss[inside], plain[inside])
    among = K3.support(scores).scatter(-1, target[:, None], True)
    expected = F.cross_entropy(scores.masked_fill(~among, -torch.inf), target, reduction="none")
    torch.testing.assert_close(loss, expected)
    (grad,) = torch.autograd.grad(loss.sum(), scores)
    assert (grad[~among] == 0).all()
    assert (grad.gather(-1, target[:, None]) > -1).all()
    assert torch.autograd.gradcheck(lambda s: SparseCrossEntropy(normalizer=K3, keep_target=True)(s, target), scores)


@pytest.mark.parametrize("keep_target", [False, True])
def test_k_of_all_is_cross_entropy(keep_target):
    scores, target, _ = case()
    loss = SparseCrossEntropy(normalizer=SparseSoftmax(k=50), keep_target=keep_target)(scores, target)
    torch.testing.assert_close(loss, F.cross_entropy(scores, target, reduction="none"))
