"""The choice of a program depends on parts and shape only, says why, and never changes the function."""

from functools import partial

import pytest
import torch

from paribus.attention import backends
from paribus.normalizers.base import Normalizer
from paribus.normalizers.softmax import Softmax
from paribus.ops import kernels
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary


class Uniform(Normalizer):
    def __call__(self, scores, mask=None):
        seen = torch.ones_like(scores) if mask is None else mask.expand(scores.shape).to(scores.dtype)
        return seen / seen.sum(dim=-1, keepdim=True).clamp(min=1)


@pytest.mark.parametrize(
    ("normalizer", "position", "bias", "n_keys", "device", "plain", "program", "why"),
    [
        (Softmax(), Rotary(), False, 257, "cpu", True, "fused", "fused: softmax over one rotation"),
        (Softmax(), NoPosition(), False, 1, "cuda", False, "fused", "fused"),
        (Softmax(), Rotary(), False, 256, "cpu", False, "dense", "dense: 256 keys are few enough"),
        (Softmax(), Rotary(), False, 256, "cpu", True, "materialised", "materialised: 256 keys are few enough"),
        (Softmax(), Rotary(), True, 1000, "cuda", True, "dense", "dense: additive bias"),
        (
            Softmax(),
            Rotary(map=ReRoPE(window=3)),
            False,
            1000,
            "cuda",
            True,
            "dense",
            "dense: Rotary scores near and far",
        ),
        (
            Uniform(),
            Rotary(),
            False,
            1000,
            "cuda",
            True,
            "dense",
            "dense: the fused kernel knows softmax only, not Uniform",
        ),
    ],
)
def test_the_choice(normalizer, position, bias, n_keys, device, plain, program, why):
    choice = backends.choose(normalizer, position, bias, n_keys, device, plain)
    assert choice.program == program
    assert choice.why.startswith(why)


def test_a_step_of_decoding_is_fused_however_few_the_keys():
    assert backends.choose(Softmax(), Rotary(), False, 200, "cpu", False).program == "dense"
    assert backends.choose(Softmax(), Rotary(), False, 200, "cpu", False, one_query=True).program == "fused"


def test_our_kernel_from_where_it_is_faster():
    def chosen(n, plain=True):
        return backends.choose(Softmax(), Rotary(), False, n, "cpu", plain, able=["native"]).program

    assert [chosen(n) for n in (255, 256, 5000)] == ["materialised", "native", "native"]
    assert chosen(5000, plain=False) == "fused"
    x = torch.randn(1, 2, 5, 8)
    assert "native" not in backends.our_kernels(x.double(), x.double(), x.double(), 1.0)
    assert "native" not in backends.our_kernels(x, x, x.bfloat16(), 1.0)


@pytest.mark.skipif(not kernels.attends(torch.ones(1)), reason="our kernel is for x86")
def test_values_of_another_width():
    """As latent attention has them; torch's fused kernel takes none and makes all pairs."""
    given = [torch.randn(2, heads, 300, width) for heads, width in ((4, 24), (2, 24), (2, 10))]
    results, weigh = [], torch.randn(2, 4, 300, 10)
    for way in (backends.causal_by_kernel, partial(backends.fused, mask=None, causal=True)):
        own = [x.clone().requires_grad_() for x in given]
        out = way(*own, scale=0.3)
        results.append((out, *torch.autograd.grad((out * weigh).sum(), own)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("position", [NoPosition(), Rotary()], ids=str)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("n", [1, 7, 63])
@pytest.mark.parametrize("plain", [True, False])
def test_all_programs_are_one_function(monkeypatch, position, kv_heads, n, plain):
    """Outputs and gradients, under the plain causal mask and a mask with hidden rows."""
    inputs = [torch.randn(2, heads, n, 8) for heads in (4, kv_heads, kv_heads)]
    at = torch.arange(n).expand(2, n) + torch.tensor([[0], [100]])
    mask = None if plain else (torch.rand(2, 1, n, n) < 0.7).tril()
    results, weigh = [], torch.randn(2, 4, n, 8)
    for program, dense_up_to, native_from in (("dense", 1000, 1000), ("fused", 0, 1000), ("native", 0, 0)):
        if program == "native" and "native" not in backends.our_kernels(*inputs, 0.4):
            continue
        monkeypatch.setattr(backends, "DENSE_UP_TO", dense_up_to)
        monkeypatch.setattr(backends, "NATIVE_FROM", native_from)
        own = [x.clone().requires_grad_() for x in inputs]
        out = backends.run(
            *own,
            position=position,
            q_positions=at,
            k_positions=at,
            keys_rotated=False,
            scale=0.4,
            normalizer=Softmax(),
            mask=mask,
            causal=True,
            plain_causal=plain,
        )
        results.append((out, *torch.autograd.grad((out * weigh).sum(), own)))
    for others in results[1:]:
        for found, expected in zip(others, results[0]):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("dense_up_to", [0, 10_000])
def test_rotated_keys_are_not_rotated_again(monkeypatch, dense_up_to):
    monkeypatch.setattr(backends, "DENSE_UP_TO", dense_up_to)
    q, k, v = torch.randn(3, 1, 2, 7, 8)
    at, position = torch.arange(7)[None] * 5, Rotary()
    common = {"position": position, "q_positions": at, "k_positions": at, "scale": 0.4, "normalizer": Softmax()}
    common |= {"mask": None, "causal": True, "plain_causal": True}
    raw = backends.run(q, k, v, keys_rotated=False, **common)
    rotated = backends.run(q, position.rotate(k, at), v, keys_rotated=True, **common)
    assert torch.equal(raw, rotated)


def test_another_normalizer_is_used():
    v = torch.randn(1, 2, 7, 8)
    found = backends.run(
        torch.randn(1, 2, 7, 8),
        torch.randn(1, 2, 7, 8),
        v,
        position=Rotary(),
        q_positions=torch.arange(7)[None],
        k_positions=torch.arange(7)[None],
        keys_rotated=False,
        scale=1.0,
        normalizer=Uniform(),
        mask=None,
        causal=True,
        plain_causal=True,
    )
    torch.testing.assert_close(found, v.cumsum(dim=2) / torch.arange(1, 8)[:, None])
