"""Multilabel cross entropy, dense and by index, against float64 and on the cases where the published form breaks."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from paribus.core.errors import InputError
from paribus.data.batch import IGNORED
from paribus.losses.multilabel import MultilabelCrossEntropy
from paribus.losses.sparse_multilabel import SparseMultilabelCrossEntropy

dense, sparse = MultilabelCrossEntropy(), SparseMultilabelCrossEntropy()


def plainly(scores, right):
    """From the definition, with log1p: right in Python floats."""
    negative = math.fsum(math.exp(s) for s, r in zip(scores.tolist(), right.tolist()) if not r)
    positive = math.fsum(math.exp(-s) for s, r in zip(scores.tolist(), right.tolist()) if r)
    return math.log1p(negative) + math.log1p(positive)


@pytest.mark.parametrize(("m", "true"), [(10, 0.0444), (15, None), (20, 2.1e-6), (30, None), (40, None)])
def test_published_cases_in_float32(m, true):
    """1000 classes, 3 positives at +m, the rest at -m; the published sparse form gives -inf at 15 and 4.98 at 20."""
    scores = torch.full((1000,), -float(m))
    index = torch.tensor([3, 500, 999])
    scores[index] = float(m)
    right = torch.zeros(1000, dtype=torch.bool).index_fill(0, index, True)
    exact = plainly(scores.double(), right)
    if true is not None:
        assert exact == pytest.approx(true, rel=0.02)
    assert dense(scores, right).item() == pytest.approx(exact, rel=1e-6)
    assert sparse(scores, index).item() == pytest.approx(exact, rel=1e-6)


def published(scores, index, clip=None):
    """bert4keras: the sum over negatives as that over all less that over positives, log(1 - e^aux) clipped or not."""
    zero = scores.new_zeros(1)
    everything = torch.logsumexp(torch.cat([scores, zero]), 0)
    share = torch.exp(torch.logsumexp(scores[index], 0) - everything)
    left = 1 - share if clip is None else (1 - share).clamp(clip, 1)
    return torch.logsumexp(torch.cat([-scores[index], zero]), 0) + everything + torch.log(left)


def test_the_published_sparse_form_breaks():
    def at(m):
        scores, index = torch.full((1000,), -float(m)), torch.tensor([3, 500, 999])
        return scores.index_fill(0, index, float(m)), index

    assert published(*at(10), clip=1e-7).item() == pytest.approx(0.069, abs=1e-3)  # 0.0444 is right
    assert published(*at(15)).item() == -math.inf
    assert published(*at(15), clip=1e-7).item() == pytest.approx(-0.019, abs=1e-3)
    assert published(*at(20), clip=1e-7).item() == pytest.approx(4.98, abs=0.01)  # 2.1e-6 is right
    # Right in exact arithmetic: the formula is, its differences are not.
    assert published(*(one.double() if one.is_floating_point() else one for one in at(10))).item() == pytest.approx(
        0.0444, abs=1e-4
    )
    # Without subtraction, but with a zero appended to the logsumexp: percents off at m = 20.
    scores, index = at(20)
    negative = scores[torch.ones(1000, dtype=torch.bool).index_fill(0, index, False)]
    appended = sum(torch.logsumexp(torch.cat([part, torch.zeros(1)]), 0) for part in (negative, -scores[index]))
    exact = math.log1p(997 * math.exp(-20)) + math.log1p(3 * math.exp(-20))
    assert 0.01 < abs(appended.item() / exact - 1) < 0.2


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(0, 999), st.sampled_from([0.1, 3.0, 40.0]))
def test_both_forms_agree_with_the_definition(n, seed, sigma):
    generator = torch.Generator().manual_seed(seed)
    scores = sigma * torch.randn(n, generator=generator)
    listed = torch.randint(0, n, (4,), generator=generator)
    listed[torch.rand(4, generator=generator) < 0.3] = IGNORED
    right = torch.zeros(n, dtype=torch.bool)
    right[listed[listed >= 0]] = True
    exact = plainly(scores.double(), right)
    assert exact >= 0
    assert dense(scores, right).item() == pytest.approx(exact, rel=1e-6, abs=1e-37)
    assert sparse(scores, listed).item() == pytest.approx(exact, rel=1e-6, abs=1e-37)


def test_derivatives_also_of_empty_sides():
    scores = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    right = torch.tensor([[True, False, True, False, False, False], [False] * 6, [True] * 6, [False] * 5 + [True]])
    assert gradcheck(lambda s: dense(s, right), scores)
    listed = torch.tensor([[0, 2], [IGNORED, IGNORED], [1, 1], [5, IGNORED]])
    assert gradcheck(lambda s: sparse(s, listed), scores)
    (grad,) = torch.autograd.grad(dense(scores, right).sum(), scores)
    assert (grad[right] < 0).all()
    assert (grad[~right] > 0).all()


def test_below_log_two_all_right_ones_are_above_zero():
    generator = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(5000, 4, generator=generator)
    right = torch.rand(5000, 4, generator=generator) < 0.5
    settled = dense(scores, right) < math.log(2)
    assert settled.sum() > 20
    assert torch.equal((scores > 0)[settled], right[settled])


def test_masked_classes_have_no_say():
    scores, right = torch.randn(3, 6), torch.rand(3, 6) < 0.5
    mask = torch.tensor([True] * 4 + [False] * 2)
    torch.testing.assert_close(dense(scores, right, mask), dense(scores[:, :4], right[:, :4]))


def test_wrong_targets():
    with pytest.raises(InputError, match="equal shapes"):
        dense(torch.zeros(2, 3), torch.zeros(2, 4))
    for wrong in (torch.tensor([[3]]), torch.tensor([[-1]]), torch.tensor([[0.0]]), torch.tensor([0])):
        with pytest.raises(InputError, match="expected"):
            sparse(torch.zeros(1, 3), wrong)
