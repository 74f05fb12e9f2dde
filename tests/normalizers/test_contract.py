"""Every normalizer: weights where the mask allows, exact zeros elsewhere, and gradients that stay finite."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.core.discovery import members
from paribus.core.errors import InputError
from paribus.normalizers.base import Normalizer

EXAMPLES = [example for cls in members(Normalizer) for example in cls.examples]


def those(kept):
    """The members built from the examples for which `kept` holds."""
    chosen = [example for example in EXAMPLES if kept(example)]
    return pytest.mark.parametrize("normalizer", [example.build() for example in chosen], ids=map(str, chosen))


def normalizer_of(built):
    """The part itself, also of one that builds a module."""
    return built if isinstance(built, Normalizer) else built.config


every = those(lambda example: True)
on_the_simplex = those(lambda example: example.simplex)
shift_invariant = those(lambda example: example.shift_invariant)
monotone = those(lambda example: example.monotone)
one_each = those(lambda example: example is type(example).examples[0])


@st.composite
def masked_scores(draw):
    """Scores (rows, keys) in float64 and a mask that may hide whole rows."""
    rows, keys = draw(st.integers(1, 5)), draw(st.integers(1, 63))
    numbers = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    spread = draw(st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e4]))
    scores = torch.randn(rows, keys, generator=numbers, dtype=torch.float64) * spread
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    return scores, torch.rand(rows, keys, generator=numbers) < share


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Normalizer))


@every
@settings(max_examples=25, deadline=None)
@given(masked_scores())
def test_masked_keys_are_exactly_zero_and_hidden_rows_are_zero(normalizer, case):
    scores, mask = case
    weights = normalizer(scores, mask)
    assert weights.shape == scores.shape
    assert weights.isfinite().all()
    assert (weights[~mask] == 0).all()


@on_the_simplex
@settings(max_examples=25, deadline=None)
@given(masked_scores())
def test_weights_lie_on_the_simplex(normalizer, case):
    scores, mask = case
    weights = normalizer(scores, mask)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), mask.any(dim=-1).double())
    torch.testing.assert_close(normalizer(scores).sum(dim=-1), torch.ones(len(scores), dtype=torch.float64))


@every
@settings(max_examples=25, deadline=None)
@given(masked_scores())
def test_a_score_of_minus_infinity_hides_its_key(normalizer, case):
    scores, mask = case
    hidden = scores.masked_fill(~mask, -torch.inf).requires_grad_()
    weights = normalizer(hidden)
    torch.testing.assert_close(weights, normalizer(scores, mask), rtol=0, atol=0)
    torch.testing.assert_close(weights, normalizer(hidden, torch.ones_like(mask)), rtol=0, atol=0)
    (gradient,) = torch.autograd.grad((weights * scores).sum(), hidden)
    assert gradient.isfinite().all()
    assert (gradient[~mask] == 0).all()


@every
@settings(max_examples=25, deadline=None)
@given(masked_scores())
def test_a_mask_is_the_same_as_leaving_keys_out(normalizer, case):
    scores, mask = case
    weights = normalizer(scores, mask)
    for row, seen, given_weights in zip(scores, mask, weights):
        if seen.any():
            torch.testing.assert_close(given_weights[seen], normalizer(row[seen]))


@shift_invariant
@settings(max_examples=25, deadline=None)
@given(masked_scores(), st.floats(-50, 50))
def test_a_shift_changes_nothing(normalizer, case, shift):
    scores, mask = case
    torch.testing.assert_close(normalizer(scores + shift, mask), normalizer(scores, mask), rtol=1e-6, atol=1e-9)


@monotone
@settings(max_examples=25, deadline=None)
@given(masked_scores())
def test_the_order_is_kept(normalizer, case):
    scores, mask = case
    weights = normalizer(scores, mask)
    larger = scores[:, :, None] >= scores[:, None, :]
    both = mask[:, :, None] & mask[:, None, :]
    assert (weights[:, :, None] - weights[:, None, :])[larger & both].ge(-1e-10).all()


@every
@settings(max_examples=25, deadline=None)
@given(masked_scores(), st.randoms(use_true_random=False))
def test_the_order_of_the_keys_does_not_matter(normalizer, case, random):
    scores, mask = case
    order = list(range(scores.shape[1]))
    random.shuffle(order)
    torch.testing.assert_close(normalizer(scores[:, order], mask[:, order]), normalizer(scores, mask)[:, order])


@every
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("keys", [1, 7])
def test_gradient(normalizer, masked, keys):
    scores = torch.randn(4, keys, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(4, keys) < 0.5 if masked else None
    if mask is not None:
        mask[0] = False
    assert torch.autograd.gradcheck(lambda s: normalizer(s, mask), scores)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_hidden_scores_have_no_say_and_get_no_gradient(normalizer, dtype):
    mask = torch.tensor([[True, False, True, False], [False] * 4])
    scores = torch.randn(2, 4).to(dtype).requires_grad_()
    huge = scores.detach().masked_fill(~mask, torch.finfo(dtype).max).requires_grad_()
    weights, other = normalizer(scores, mask), normalizer(huge, mask)
    assert weights.dtype == dtype
    assert torch.equal(weights, other)
    for at, result in ((scores, weights), (huge, other)):
        (gradient,) = torch.autograd.grad((result * torch.randn(4).to(dtype)).sum(), at)
        assert gradient.isfinite().all()
        assert (gradient[~mask] == 0).all()


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_scores_as_low_as_numbers_go_are_not_taken_for_hidden_ones(normalizer, dtype):
    """As where a mask was added as the lowest number: the only visible key keeps all, what is hidden gets nothing."""
    scores = torch.tensor([[torch.finfo(dtype).min, 5.0], [torch.finfo(dtype).min] * 2], dtype=dtype)
    weights = normalizer(scores, torch.tensor([[True, False], [False, True]]))
    assert weights[0, 1] == weights[1, 0] == 0
    if normalizer_of(normalizer).simplex:
        # A member that multiplies the scores may turn them into -inf, which hides them.
        assert all(abs(kept - 1) < 1e-5 or kept == 0 for kept in weights.diagonal().tolist())
    if type(normalizer).__name__ in ("Softmax", "SparseSoftmax", "Entmax15"):
        assert weights.diagonal().tolist() == [1, 1]


@every
def test_a_mask_is_broadcast(normalizer):
    scores = torch.randn(2, 3, 5, 7)
    for shape in ((7,), (5, 7), (2, 1, 5, 7), (2, 1, 1, 7), (1, 3, 5, 7)):
        mask = torch.rand(shape) < 0.6
        expected = normalizer(scores, mask.expand(scores.shape).contiguous())
        assert torch.equal(normalizer(scores, mask), expected)


@every
def test_bfloat16(normalizer):
    """Within 2^-8 of the weights of the same scores in float64: the last bit of a weight near 1, or of a larger one."""
    scores = (torch.randn(50, 63) * 4).bfloat16()
    mask = torch.rand(50, 63) < 0.7
    exact = normalizer(scores.double(), mask).detach()
    error = (normalizer(scores, mask).double() - exact).detach().abs()
    assert (error <= 2**-8 * exact.clamp(min=1)).all()


@one_each
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own, while tracing
def test_compiles_without_a_break(normalizer):
    torch.compiler.reset()
    compiled = torch.compile(lambda scores, mask: normalizer(scores, mask), fullgraph=True, backend="aot_eager")
    scores = torch.randn(3, 9, requires_grad=True)
    mask = torch.rand(3, 9) < 0.6
    mask[0] = False
    towards = torch.randn(3, 9)
    found = compiled(scores, mask)
    expected = normalizer(scores, mask)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(found, scores, towards)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, scores, towards)[0], rtol=1e-4, atol=1e-5)


@every
def test_nan_is_passed_on_and_strict_use_refuses_it(normalizer):
    scores = torch.tensor([[0.0, torch.nan, 1.0], [0.0, 2.0, 1.0]]).repeat(1, 4)  # as many keys as any k asks for
    weights = normalizer(scores)
    assert weights[0].isnan().any()
    assert weights[1].isfinite().all()
    if isinstance(normalizer, Normalizer):
        with pytest.raises(InputError, match="NaN"):
            normalizer.strict(scores)
        with pytest.raises(InputError, match="no visible score"):
            normalizer.strict(scores[1:], torch.zeros(1, 12, dtype=torch.bool))
        assert torch.equal(normalizer.strict(scores[1:]), normalizer(scores[1:]))


def test_strict_use_refuses_rows_shorter_than_k():
    scores, mask = torch.randn(2, 5), torch.tensor([[True] * 5, [True, True, False, False, False]])
    choosers = [example for example in EXAMPLES if example.least_keys() > 1]
    assert {type(example).__name__ for example in choosers} >= {"SparseSoftmax", "LaplaceTopK", "GradTopK"}
    for example in choosers:
        member = type(example)(k=3)
        assert torch.equal(member.strict(scores), member(scores))
        with pytest.raises(InputError, match=r"1 of 2 rows show fewer than the k = 3 keys of .*, the shortest 2"):
            member.strict(scores, mask)
        with pytest.raises(InputError, match="2 of 2 rows show fewer than the k = 6"):
            type(example)(k=6).strict(scores)
    with pytest.raises(InputError, match="have no keys"):
        EXAMPLES[0].strict(torch.zeros(2, 0))


def test_no_index_is_drawn_from_a_row_that_shows_nothing():
    for example in EXAMPLES:
        if hasattr(example, "sample"):
            assert example.sample(torch.randn(4, 3)).shape == (4,)
            with pytest.raises(InputError, match="no visible score"):
                example.sample(torch.randn(2, 3), torch.tensor([[True] * 3, [False] * 3]))
            with pytest.raises(InputError, match="NaN"):
                example.sample(torch.tensor([0.0, torch.nan]))
