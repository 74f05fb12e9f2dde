"""Layers with a sliding window: read in pieces as with a whole table, in a pass and step by step, without a table."""

import importlib
from unittest.mock import Mock

import pytest
import torch

from paribus.attention import piecewise as program
from paribus.attention.scales.log_length import LogLength
from paribus.context_extension import extend, transformers_mask
from paribus.context_extension.transformers_mask import masking, seen
from paribus.core.errors import InputError
from paribus.positions.maps.dual_chunk import DualChunk
from paribus.positions.maps.leaky_rerope import LeakyReRoPE
from paribus.positions.maps.lm_infinite import LMInfinite
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.maps.self_extend import SelfExtend
from paribus.positions.maps.streaming import StreamingLLM
from paribus.positions.scaling.dynamic_ntk import DynamicNTK

transformers = pytest.importorskip("transformers")
masks = importlib.import_module("transformers.masking_utils")

SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 60,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
KINDS = {
    "mistral": {"sliding_window": 8},
    # Its first two layers see all.
    "qwen2": {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 2},
    # Its last layer sees all and turns nothing.
    "cohere2": {"sliding_window": 7, "sliding_window_pattern": 4},
}
METHODS = [
    (ReRoPE(window=3),),
    (ReRoPE(window=20),),
    (LeakyReRoPE(window=5, factor=4.0), LogLength(base=4.0, at_least_one=True)),
    (SelfExtend(window=4, group=3),),
    (DualChunk(chunk=5, train_length=8),),
    (LMInfinite(window=4, sinks=3),),
    (StreamingLLM(window=5, sinks=4),),
    (DynamicNTK(train_length=9, refresh=4),),
    (LogLength(base=4.0),),
]
kinds = pytest.mark.parametrize("kind", KINDS)
methods = pytest.mark.parametrize("changes", METHODS, ids=repr)


def model(kind, **more):
    config = transformers.AutoConfig.for_model(kind, **{**SIZE, **KINDS[kind], **more})
    made = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for i, (_, weight) in enumerate(sorted(made.named_parameters())):
            if weight.dim() > 1:
                weight.copy_(0.15 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(i)))
    return made


def padded(length=40, skipped=7):
    """A batch of two, the first of them padded on the left."""
    given = torch.randint(3, 60, (2, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(given)
    mask[0, :skipped] = 0
    return given, mask, (mask.cumsum(-1) - 1).clamp(min=0)


@kinds
@methods
def test_in_pieces_as_with_a_table(monkeypatch, kind, changes):
    """Also the gradients, in a padded batch."""
    made = extend(model(kind).double(), *changes)
    given, mask, at = padded()
    weigh = torch.randn(2, 40, 60, dtype=torch.float64) * mask[..., None]
    merged, results = program.merged_attention, []
    for in_pieces in (True, False):
        ours = Mock(side_effect=merged)
        monkeypatch.setattr(program, "merged_attention", ours)
        monkeypatch.setattr(program, "DENSE_UP_TO", 0 if in_pieces else 10_000)
        if not in_pieces:
            monkeypatch.setattr(transformers_mask, "_window", lambda *told: None)
        made.zero_grad()
        out = made(given, attention_mask=mask, position_ids=at, use_cache=False).logits
        (out * weigh).sum().backward()
        results.append([out[mask.bool()], *(weight.grad.clone() for weight in made.parameters())])
        if in_pieces:
            sliding = [
                one == "sliding_attention" for one in getattr(made.config, "layer_types", ["sliding_attention"] * 4)
            ]
            assert ours.call_count >= 2 * sum(sliding)  # once for each text
        else:
            assert not ours.called
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@kinds
def test_a_window_beyond_the_text_changes_nothing(monkeypatch, kind):
    """As their own attention reads it."""
    monkeypatch.setattr(program, "DENSE_UP_TO", 0)
    made, (given, mask, at) = model(kind), padded()
    told = {"attention_mask": mask, "position_ids": at}
    with torch.no_grad():
        expected = made(given, **told).logits
        found = extend(made, ReRoPE(window=64))(given, **told).logits
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], rtol=1e-4, atol=1e-4)


@kinds
@methods
@pytest.mark.parametrize("parts", [(30, 1, 1, 1, 7), (3, 20, 1, 16), (10, 2, 28)], ids=str)
def test_step_by_step_as_in_one_pass(monkeypatch, kind, changes, parts):
    """Their cache keeps the last keys of a window, so that keys begin later."""
    monkeypatch.setattr(program, "DENSE_UP_TO", 0)
    made = extend(model(kind), *changes)
    given, mask, at = padded(sum(parts))
    with torch.no_grad():
        whole = made(given, attention_mask=mask, position_ids=at, use_cache=False).logits
        cache, found, end = transformers.DynamicCache(config=made.config), [], 0
        for size in parts:
            here = slice(end, end + size)
            end += size
            told = {"attention_mask": mask[:, :end], "position_ids": at[:, here], "past_key_values": cache}
            found.append(made(given[:, here], **told).logits)
    assert cache.layers[-1 if kind != "cohere2" else 0].keys.shape[2] < end - 1  # it did forget
    torch.testing.assert_close(torch.cat(found, dim=1)[mask.bool()], whole[mask.bool()], rtol=1e-4, atol=1e-4)


@kinds
@pytest.mark.parametrize("changes", [METHODS[0], METHODS[6]], ids=repr)
@pytest.mark.parametrize("parts", [(30, 1, 1, 1, 7), (3, 2, 1, 9, 12), (5, 5, 1, 1, 20)], ids=str)
def test_step_by_step_in_a_cache_of_fixed_size(monkeypatch, kind, changes, parts):
    """It has room behind the last key, and later no more."""
    monkeypatch.setattr(program, "DENSE_UP_TO", 0)
    made = extend(model(kind), *changes)
    given, mask, at = padded(sum(parts), skipped=2)
    with torch.no_grad():
        whole = made(given, attention_mask=mask, position_ids=at, use_cache=False).logits
        cache, found, end = transformers.StaticCache(made.config, max_cache_len=sum(parts) + 3), [], 0
        for size in parts:
            here = slice(end, end + size)
            end += size
            told = {"attention_mask": mask[:, :end], "position_ids": at[:, here], "past_key_values": cache}
            found.append(made(given[:, here], **told).logits)
    torch.testing.assert_close(torch.cat(found, dim=1)[mask.bool()], whole[mask.bool()], rtol=1e-4, atol=1e-4)


@kinds
@pytest.mark.parametrize("kept", [None, "static"])
def test_writing_as_without_a_cache(monkeypatch, kind, kept):
    monkeypatch.setattr(program, "DENSE_UP_TO", 0)
    made = extend(model(kind), ReRoPE(window=3))
    given, mask, _ = padded(30)
    options = {"attention_mask": mask, "max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    expected = made.generate(given, use_cache=False, **options)
    assert torch.equal(made.generate(given, cache_implementation=kept, **options), expected)


@kinds
@pytest.mark.parametrize("changes", [*METHODS[:2], *METHODS[4:7]], ids=repr)
@pytest.mark.parametrize("kept", ["dynamic", "static"])
@pytest.mark.parametrize("knows_kernels", [False, True])
def test_no_table_of_all_pairs(kind, changes, kept, knows_kernels, largest_tensor):
    n = 700
    if kind == "cohere2" and not knows_kernels:
        pytest.skip("torch's kernel needs one for a layer that turns nothing and sees all beside padding")
    made = extend(model(kind, sliding_window=50), *changes)
    given, mask, at = padded(n)
    if kept == "static":
        cache = transformers.StaticCache(made.config, max_cache_len=n + 9)
    else:
        cache = transformers.DynamicCache(config=made.config)
    with largest_tensor(knows_kernels) as largest, torch.no_grad():
        made(given, attention_mask=mask, position_ids=at, past_key_values=cache, logits_to_keep=1)
        more = torch.ones(2, n + 1, dtype=torch.int64)
        more[0, :7] = 0
        made(given[:, :1], attention_mask=more, position_ids=at[:, -1:] + 1, past_key_values=cache)
    assert largest.numbers < n * n


def both(**told):
    """What `seen` makes of the mask that `masking` tells, as a table, and that of transformers; was it told as one?"""
    given = {"batch_size": 2, "q_offset": 0, "kv_offset": 0, "device": "cpu", **told}
    n_queries, n_keys = given["q_length"], given["q_offset"] + given["q_length"] - given["kv_offset"]
    expected = masks.sdpa_mask(**given, allow_is_causal_skip=False)[..., :n_keys]
    found = seen(masking(masks)(**given), n_queries, n_keys, torch.zeros(1))
    causal = torch.ones(n_queries, n_keys, dtype=torch.bool).tril(n_keys - n_queries)
    assert torch.equal(found.n_keys.expand(2, 1, -1), expected.sum(dim=-1))
    return (causal if found.mask is None else found.mask).expand(expected.shape), expected, found.layout is None


ZEROS = torch.zeros(2, dtype=torch.int64)
PADDING = torch.arange(30) >= torch.tensor([[4], [0]])
OFFSETS = [(0, 0, 30), (9, 0, 30), (9, 5, 25), (29, 0, 30), (29, 20, 10), (0, 0, 40), (20, 4, 33)]  # q, kv, kv_length


@pytest.mark.parametrize(("q_offset", "kv_offset", "kv_length"), OFFSETS)
@pytest.mark.parametrize("padding", [None, PADDING, torch.zeros(2, 30, dtype=torch.bool)], ids=["", "padded", "empty"])
@pytest.mark.parametrize("window", [None, 1, 6, 29, 30, 500])
def test_a_mask_in_few_words_is_theirs(q_offset, kv_offset, kv_length, padding, window):
    """With room behind the last key, keys that begin later, and one query."""
    told = {"q_length": 30 - q_offset, "kv_length": kv_length, "q_offset": q_offset, "kv_offset": kv_offset}
    if window is not None:
        told |= {"local_size": window, "mask_function": masks.sliding_window_causal_mask_function(window)}
    found, expected, is_table = both(**told, attention_mask=padding)
    assert torch.equal(found, expected)
    assert not is_table


@pytest.mark.parametrize(
    "function",
    [
        masks.sliding_window_causal_mask_function(7),
        masks.chunked_causal_mask_function(6, ZEROS),
        masks.and_masks(masks.sliding_window_causal_mask_function(6), masks.sliding_window_overlay(3)),
        masks.or_masks(masks.sliding_window_causal_mask_function(6), masks.chunked_causal_mask_function(9, ZEROS)),
        masks.packed_sequence_compatibility_function(
            masks.sliding_window_causal_mask_function(6), torch.arange(30).expand(2, -1), (PADDING * 1)
        ),
    ],
    ids=["another window", "chunked", "and", "or", "packed"],
)
def test_a_mask_that_is_not_known_is_a_table(function):
    """Whatever size is told beside it."""
    told = {"q_length": 30, "kv_length": 30, "local_size": 6, "mask_function": function}
    found, expected, is_table = both(**told, attention_mask=None)
    assert torch.equal(found, expected)
    assert is_table


def test_padding_inside_is_a_table():
    told = {"q_length": 30, "kv_length": 30, "local_size": 6}
    holes = torch.arange(30).expand(2, -1) != 9
    function = masks.sliding_window_causal_mask_function(6)
    found, expected, is_table = both(**told, attention_mask=holes, mask_function=function)
    assert torch.equal(found, expected)
    assert is_table


@pytest.mark.parametrize("mask", [torch.ones(1, 1, 40, 40).tril().long(), torch.ones(1, 1, 1, 40).long()], ids=str)
def test_whole_numbers_are_no_mask(mask):
    made = extend(model("mistral"), ReRoPE(window=3))
    with pytest.raises(InputError, match=r"an attention mask of int64 and shape \(1, 1, \d+, 40\): expected booleans"):
        made(padded()[0][:1], attention_mask=mask)


def test_later_keys_are_refused():
    """As of an image, or of a model that reads both ways."""
    made, given = extend(model("mistral"), ReRoPE(window=3)), padded()[0]
    with pytest.raises(InputError, match="shows queries keys that come later"):
        made(given, attention_mask=torch.zeros(2, 1, 40, 40))
    function = masks.or_masks(masks.sliding_window_causal_mask_function(6), masks.sliding_window_overlay(6))
    with pytest.raises(InputError, match="shows queries keys that come later"):
        both(q_length=30, kv_length=30, local_size=6, mask_function=function)
