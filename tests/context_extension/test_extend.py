"""One call extends our decoder and a transformers model alike; what it gives agrees between the two."""

from pathlib import Path

import pytest
import torch

from paribus.attention import piecewise as program
from paribus.attention.scales.log_length import LogLength
from paribus.context_extension import extend, restore
from paribus.context_extension.decoder import extend_layers
from paribus.context_extension.method import check_reach
from paribus.core.errors import InputError
from paribus.generation.generate import generate
from paribus.models.checkpoints.open import load_checkpoint
from paribus.models.decoder import DecoderLM
from paribus.positions.maps.dual_chunk import DualChunk
from paribus.positions.maps.leaky_rerope import LeakyReRoPE
from paribus.positions.maps.lm_infinite import LMInfinite
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.maps.self_extend import SelfExtend
from paribus.positions.maps.streaming import StreamingLLM
from paribus.positions.no_position import NoPosition
from paribus.positions.pairing.interleaved import Interleaved
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.dynamic_ntk import DynamicNTK
from paribus.positions.scaling.ntk_aware import NTKAware
from paribus.positions.scaling.position_interpolation import PositionInterpolation
from paribus.positions.scaling.yarn import YaRN

TINY = Path(__file__).parents[1] / "models" / "checkpoints" / "fixtures" / "tiny-llama"
METHODS = [
    (NTKAware(factor=4.0),),
    (YaRN(factor=4.0, train_length=64),),
    (ReRoPE(window=5),),
    (LeakyReRoPE(window=5, factor=4.0),),
    (LogLength(base=16.0, at_least_one=True),),
    (ReRoPE(window=5), LogLength(base=16.0, at_least_one=True), PositionInterpolation(factor=2.0)),
    (Rotary(base=2000.0),),
    (SelfExtend(window=4, group=3),),
    (DualChunk(chunk=6, train_length=8),),
    (LMInfinite(window=5, sinks=2),),
    (StreamingLLM(window=5, sinks=2),),
    (DynamicNTK(train_length=9, refresh=4),),
]


@pytest.fixture
def ours():
    return load_checkpoint(str(TINY)).model


@pytest.fixture
def theirs():
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForCausalLM.from_pretrained(TINY).eval()


def tokens(batch=2, length=23, seed=0):
    return torch.randint(37, (batch, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(model, given, **more):
    out = model(given, **more)
    return out if isinstance(out, torch.Tensor) else out.logits


def written(model, given, count, mask=None):
    """What their `generate` appends; without a mask it would take every 0 for padding."""
    mask = torch.ones_like(given) if mask is None else mask
    options = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    return model.generate(given, attention_mask=mask, max_new_tokens=count, **options)[:, given.shape[1] :]


class TestOurs:
    def test_the_weights_are_shared_and_the_first_model_stays(self, ours):
        before = logits(ours, tokens())
        other = extend(ours, ReRoPE(window=5))
        assert all(a is b for a, b in zip(ours.parameters(), other.parameters(), strict=True))
        assert torch.equal(logits(ours, tokens()), before)
        assert not torch.allclose(logits(other, tokens()), before, atol=1e-3)

    def test_inside_its_window_rerope_changes_nothing(self, ours):
        near = tokens(length=5)
        assert torch.allclose(logits(extend(ours, ReRoPE(window=5)), near), logits(ours, near), atol=1e-5)

    def test_layers_may_be_read_by_several_methods(self, ours):
        given = tokens()
        assert torch.equal(
            logits(extend_layers(ours, [[ReRoPE(window=5)]]), given), logits(extend(ours, ReRoPE(window=5)), given)
        )
        other = extend_layers(ours, [[], [ReRoPE(window=5), NTKAware(factor=2.0)]])
        maps = [mixer.position.map for mixer in other.config.layer_mixers()]
        assert maps[:2] == [ours.config.layer_mixers()[0].position.map, ReRoPE(window=5)]
        assert all(a is b for a, b in zip(ours.parameters(), other.parameters(), strict=True))
        with pytest.raises(InputError, match="no method is given for any layer"):
            extend_layers(ours, [[], []])

    @pytest.mark.parametrize("changes", METHODS, ids=repr)
    def test_cached_reading_is_reading(self, ours, changes):
        model = extend(ours, *changes)
        given = tokens()
        whole = logits(model, given)
        state, parts = model.start(2, 23), []
        with torch.no_grad():
            for at in (slice(0, 11), slice(11, 12), slice(12, 23)):
                some, state = model.prefill(given[:, at], torch.arange(23)[None, at], state)
                parts.append(some)
        assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-4)


class TestTheirs:
    @pytest.mark.parametrize("changes", METHODS, ids=repr)
    def test_both_models_give_the_same(self, ours, theirs, changes):
        expected = logits(extend(ours, *changes), tokens())
        assert torch.allclose(logits(extend(theirs, *changes), tokens()), expected, atol=1e-4)

    @pytest.mark.parametrize("changes", METHODS, ids=repr)
    def test_in_pieces_too(self, monkeypatch, ours, theirs, changes):
        """As at lengths where no table of pairs is written out, in a padded batch."""
        alone, other = tokens(batch=1, length=14, seed=3), tokens(batch=1, length=20)
        batch = torch.cat([torch.cat([torch.zeros(1, 6, dtype=torch.int64), alone], dim=1), other])
        mask = torch.ones_like(batch)
        mask[0, :6] = 0
        at = (mask.cumsum(dim=1) - 1).clamp(min=0)
        expected = [logits(extend(ours, *changes), one)[0] for one in (alone, other)]
        monkeypatch.setattr(program, "DENSE_UP_TO", 0)
        found = logits(extend(theirs, *changes), batch, attention_mask=mask, position_ids=at)
        assert torch.allclose(found[0, 6:], expected[0], atol=1e-4)
        assert torch.allclose(found[1], expected[1], atol=1e-4)

    @pytest.mark.parametrize("padded", [False, True])
    @pytest.mark.parametrize("knows_kernels", [False, True])
    def test_no_table_of_all_pairs(self, theirs, padded, knows_kernels, largest_tensor):
        n = 600
        extend(theirs, ReRoPE(window=60))
        mask = torch.ones(2, n, dtype=torch.int64)
        if padded:
            mask[0, :77] = 0
        with largest_tensor(knows_kernels) as largest:
            theirs(tokens(length=n), attention_mask=mask, logits_to_keep=1)
        assert largest.numbers < n * n

    def test_a_cache_of_fixed_size(self, theirs):
        """Its places behind the last token hold nothing yet."""
        extend(theirs, ReRoPE(window=5))
        expected, given = written(theirs, tokens(), 9), tokens()
        options = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "cache_implementation": "static"}
        told = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=9, **options)
        assert torch.equal(told[:, given.shape[1] :], expected)

    def test_padding_on_the_right(self, theirs):
        extend(theirs, ReRoPE(window=5))
        given, mask = tokens(length=12), torch.ones(2, 12, dtype=torch.int64)
        mask[0, 8:] = 0
        found = logits(theirs, given, attention_mask=mask)
        assert torch.allclose(found[0, :8], logits(theirs, given[:1, :8])[0], atol=1e-5)
        assert torch.allclose(found[1], logits(theirs, given[1:])[0], atol=1e-5)

    @pytest.mark.parametrize("changes", METHODS, ids=repr)
    def test_generation_over_their_cache(self, ours, theirs, changes):
        extend(theirs, *changes)
        told = written(theirs, tokens(), 9)
        assert torch.equal(told, generate(extend(ours, *changes), tokens(), 9))

    @pytest.mark.parametrize("changes", METHODS, ids=repr)
    def test_a_batch_padded_on_the_left(self, theirs, changes):
        extend(theirs, *changes)
        alone = tokens(batch=1, length=14, seed=3)
        padded = torch.cat([torch.zeros(1, 6, dtype=torch.int64), alone], dim=1)
        batch = torch.cat([padded, tokens(batch=1, length=20)])
        mask = torch.ones_like(batch)
        mask[0, :6] = 0
        assert torch.equal(written(theirs, batch, 7, mask)[:1], written(theirs, alone, 7))

    @pytest.mark.parametrize("changes", METHODS, ids=repr)
    def test_restored_it_is_what_it_was(self, theirs, changes):
        before = logits(theirs, tokens())
        extend(theirs, *changes)
        assert not torch.allclose(logits(theirs, tokens()), before, atol=1e-4)
        assert torch.equal(logits(restore(theirs), tokens()), before)
        with pytest.raises(InputError, match="is not extended: nothing to restore"):
            restore(theirs)

    def test_a_second_method_takes_the_place_of_the_first(self, ours, theirs):
        extend(theirs, ReRoPE(window=5))
        extend(theirs, NTKAware(factor=2.0))
        expected = logits(extend(ours, NTKAware(factor=2.0)), tokens())
        assert torch.allclose(logits(theirs, tokens()), expected, atol=1e-4)

    def test_a_window_longer_than_the_trained_length(self, theirs):
        trained = theirs.config.max_position_embeddings
        with pytest.raises(InputError, match=f"longer than the {trained} tokens"):
            extend(theirs, ReRoPE(window=trained + 1))

    def test_another_attention_on_raw_keys_is_refused(self, theirs):
        extend(theirs, ReRoPE(window=5))
        theirs.set_attn_implementation("sdpa")
        with pytest.raises(InputError, match=r"set to 'sdpa', which would read keys without their rotation"):
            logits(theirs, tokens())

    def test_a_cache_of_another_reading_is_refused(self, theirs):
        """Its keys are turned by other frequencies, or not at all."""
        given = tokens(batch=1)

        def filled():
            with torch.no_grad():
                return theirs(given[:, :9], use_cache=True).past_key_values

        def go_on(cache):
            return logits(theirs, given[:, 9:], past_key_values=cache)

        plain = filled()
        extend(theirs, ReRoPE(window=5))
        with pytest.raises(InputError, match=r"filled by the model as it was trained, and Rotary.*ReRoPE\(window=5\)"):
            go_on(plain)
        raw = filled()
        expected = logits(theirs, given)[:, 9:]
        assert torch.allclose(go_on(raw), expected, atol=1e-4)
        with torch.no_grad():
            _, unnamed = theirs(given[:, :9], use_cache=True, return_dict=False)
        assert torch.allclose(go_on(unnamed), expected, atol=1e-4)
        extend(theirs, NTKAware(factor=2.0))
        with pytest.raises(InputError, match=r"filled by Rotary.*ReRoPE\(window=5\)"):
            go_on(raw)
        restore(theirs)
        with pytest.raises(InputError, match=r"and the model as it was trained is to go on"):
            go_on(raw)
        assert torch.allclose(go_on(filled()), logits(theirs, given)[:, 9:], atol=1e-4)

    def test_gradients_reach_the_weights(self, theirs):
        extend(theirs, ReRoPE(window=5))
        theirs(tokens()).logits.square().mean().backward()
        assert all(torch.isfinite(weight.grad).all() for weight in theirs.parameters())


def test_what_is_no_method_or_no_model(ours):
    with pytest.raises(InputError, match="no method is given"):
        extend(ours)
    with pytest.raises(InputError, match="NTKAware is the second scaling"):
        extend(ours, PositionInterpolation(factor=2.0), NTKAware(factor=2.0))
    with pytest.raises(InputError, match="'rerope' is no method of extension"):
        extend(ours, "rerope")
    with pytest.raises(InputError, match=r"window is longer than the 64 tokens that the model was trained at"):
        check_reach([LeakyReRoPE(window=65, factor=2.0)], 64)
    with pytest.raises(InputError, match=r"Interleaved\(\) turns other pairs than the model was trained with"):
        extend(ours, Rotary(pairing=Interleaved()))
    with pytest.raises(InputError, match="Linear cannot be extended"):
        extend(torch.nn.Linear(2, 2), ReRoPE(window=5))
    blind: DecoderLM = ours.config.with_mixer(position=NoPosition()).build()
    with pytest.raises(InputError, match="has no rotary positions"):
        extend(blind, ReRoPE(window=5))
