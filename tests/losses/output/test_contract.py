"""Every loss of an output layer: chunked = plain, values and gradients, without a buffer of tokens x vocabulary."""

import pytest
import torch
from torch.autograd import gradcheck

from paribus.core.discovery import members
from paribus.core.errors import ConfigError, InputError
from paribus.data.batch import IGNORED
from paribus.losses.output.base import OutputLoss, tokens_at_once
from paribus.losses.output.cross_entropy import CrossEntropy
from paribus.losses.reductions.sequence_mean import SequenceMean

VOCABULARY, WIDTH = 11, 5
EXAMPLES = [example for cls in members(OutputLoss) for example in cls.examples]


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(config, dtype=torch.float64):
    """A loss that needs embeddings gets them."""
    return config.over(numbers(VOCABULARY, 4, seed=9).to(dtype)) if hasattr(config, "over") else config


every = pytest.mark.parametrize("config", EXAMPLES, ids=str)


def case(dtype=torch.float64):
    hidden = numbers(3, 7, WIDTH, seed=1).to(dtype).requires_grad_()
    head = numbers(VOCABULARY, WIDTH, seed=2).to(dtype).requires_grad_()
    target = torch.randint(0, VOCABULARY, (3, 7), generator=torch.Generator().manual_seed(3))
    target[0, 3:] = IGNORED
    target[2] = IGNORED
    return hidden, head, target


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(OutputLoss))


# The adaptive ratio of EMO is held constant: its gradient is not that of its value, and is tested by its formula.
@pytest.mark.parametrize("config", [one for one in EXAMPLES if not getattr(one, "adaptive", False)], ids=str)
def test_the_gradient_is_that_of_the_value(config):
    hidden, head, target = case()
    loss = made(config)
    assert gradcheck(lambda hidden, head: loss(hidden, head, target), (hidden, head))


@every
def test_chunks_change_nothing(config):
    hidden, head, target = case()
    whole = made(config)
    value = whole(hidden, head, target)
    expected = torch.autograd.grad(value, (hidden, head))
    for size in (1, 2, 8, 100):
        parts = dict(vars(config)) | {"chunk": size}
        loss = made(type(config)(**parts))
        found = loss(hidden, head, target)
        torch.testing.assert_close(found, value)
        torch.testing.assert_close(torch.autograd.grad(found, (hidden, head)), expected)


@every
def test_the_mean_of_each_and_ignored_tokens(config):
    hidden, head, target = case()
    loss = made(config)
    losses = loss.each(hidden, head, target)
    assert losses.shape == target.shape
    assert (losses[target == IGNORED] == 0).all()
    assert not losses.requires_grad
    torch.testing.assert_close(loss(hidden, head, target), losses.sum() / (target != IGNORED).sum())
    grads = torch.autograd.grad(loss(hidden, head, target), (hidden, head))
    assert (grads[0][target == IGNORED] == 0).all()
    nothing = loss(hidden, head, torch.full_like(target, IGNORED))
    assert nothing == 0
    for grad in torch.autograd.grad(nothing, (hidden, head)):
        assert (grad == 0).all()


@every
def test_frozen_heads_and_scaled_losses(config):
    hidden, head, target = case()
    loss = made(config)
    (alone,) = torch.autograd.grad(3 * loss(hidden, head.detach(), target), hidden)
    torch.testing.assert_close(alone, 3 * torch.autograd.grad(loss(hidden, head, target), hidden)[0])
    assert not loss(hidden.detach(), head.detach(), target).requires_grad


@every
def test_bfloat16(config):
    hidden, head, target = case(torch.bfloat16)
    loss = made(config, torch.float32)
    value = loss(hidden, head, target)
    grads = torch.autograd.grad(value, (hidden, head))
    exact_hidden, exact_head = hidden.detach().double().requires_grad_(), head.detach().double().requires_grad_()
    exact = made(config)(exact_hidden, exact_head, target)
    assert value.dtype == torch.float32
    assert float(value.detach()) == pytest.approx(float(exact.detach()), rel=0.01)
    for found, wanted in zip(grads, torch.autograd.grad(exact, (exact_hidden, exact_head))):
        assert found.dtype == torch.bfloat16
        assert (found.double() - wanted).norm() <= 0.02 * wanted.norm()


@every
def test_reductions(config):
    hidden, head, target = case()
    loss = made(type(config)(**(dict(vars(config)) | {"reduction": SequenceMean()})))
    losses, kept = loss.each(hidden, head, target), target != IGNORED
    expected = (losses[0, :3].mean() + losses[1].mean()) / 2
    assert kept.sum() == 10
    torch.testing.assert_close(loss(hidden, head, target), expected)


@every
def test_no_buffer_of_all_tokens_and_the_vocabulary(config):
    """The largest tensor that any operation makes, forward and backward, is a chunk's."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for one in out if isinstance(out, (tuple, list)) else (out,):
                if isinstance(one, torch.Tensor):
                    Largest.numbers = max(Largest.numbers, one.numel())
            return out

    tokens, vocabulary = 64, 101
    hidden, head = torch.randn(tokens, WIDTH, requires_grad=True), torch.randn(vocabulary, WIDTH, requires_grad=True)
    config = type(config)(**(dict(vars(config)) | {"chunk": 8}))
    loss = config.over(torch.randn(vocabulary, 4)) if hasattr(config, "over") else config
    with Largest():
        loss(hidden, head, torch.randint(0, vocabulary, (tokens,))).backward()
    assert 8 * vocabulary <= Largest.numbers < 10 * vocabulary


def test_wrong_inputs():
    hidden, head, target = case()
    loss = CrossEntropy()
    with pytest.raises(InputError, match="expected 0 <= target < 11"):
        loss(hidden, head, target.clamp_min(0) + 11)
    with pytest.raises(InputError, match=r"expected \(\.\.\., d\) and \(vocabulary, d\)"):
        loss(hidden, head[:, :-1], target)
    with pytest.raises(InputError, match="one integer index for each row"):
        loss(hidden, head, target[:, :-1])
    with pytest.raises(ConfigError, match="chunk = 0"):
        CrossEntropy(chunk=0)


def test_the_default_chunk_shrinks_with_the_vocabulary():
    assert tokens_at_once(CrossEntropy(), 131072) == 256
    assert tokens_at_once(CrossEntropy(), 1 << 30) == 16
