"""Models of transformers of many architectures: a map of distances reads them right, or is refused with words."""

import copy
import json

import pytest
import torch

from paribus.attention.scales.log_length import LogLength
from paribus.context_extension import extend, restore
from paribus.core.errors import InputError
from paribus.positions.maps.leaky_rerope import LeakyReRoPE
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.maps.streaming import StreamingLLM
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.llama3 import Llama3
from paribus.positions.scaling.ntk_aware import NTKAware
from paribus.positions.scaling.yarn import YaRN

transformers = pytest.importorskip("transformers")

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
WHOLE_HEADS = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0}
PLAIN = {"rope_type": "default", "rope_theta": 1e4}
LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": None,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "n_routed_experts": 4,
    "n_group": 2,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 8,
}
RIGHT = {
    "llama": {},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": 8},
    "mixtral": {"num_local_experts": 2},
    "phi3": {},
    "granite": {"attention_multiplier": 0.1},
    # Neighbours are pairs.
    "ernie4_5": {},
    "helium": {"head_dim": 8},
    "glm": {"head_dim": 8, "rope_parameters": WHOLE_HEADS},
    "cohere": {},
    # Some layers turn nothing.
    "smollm3": {},
    "exaone4": {"sliding_window": 8},
    "cohere2": {"sliding_window": 8},
}
REFUSED = {
    "gemma2": ({"head_dim": 8, "attn_logit_softcapping": 0.5}, r"asks its attention for softcap = 0\.5"),
    "gpt_oss": (
        {"head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1, "rope_parameters": PLAIN},
        "gives no cosines and sines of whole heads",
    ),
    "deepseek_v2": (LATENT, "gives no cosines and sines of whole heads"),
    "deepseek_v3": (LATENT, "DeepseekV3Attention turns its queries and keys in a way that is not known here"),
    "llama4_text": ({"head_dim": 8}, "gives no cosines and sines of whole heads"),
    "falcon": ({}, "does not call its attention by the interface of transformers"),
    "doge": ({}, "failed in a trial of a few tokens"),
    "gemma3_text": ({"head_dim": 8}, "has 0 rotary tables"),
}


def model(kind="llama", **more):
    config = transformers.AutoConfig.for_model(kind, **{**SIZE, **more})
    made = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for i, (_, weight) in enumerate(sorted(made.named_parameters())):
            if weight.dim() > 1:
                weight.copy_(0.15 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(i)))
    return made


def tokens(batch=1, length=40, seed=0):
    return torch.randint(3, 60, (batch, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(made, given, **more):
    return made(given, **more).logits


def close(a, b):
    return torch.allclose(a, b, atol=1e-4)


LONG = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0, 1.5, 2.0, 3.0],
    "long_factor": [1.0, 1.5, 2.0, 3.0],
    "factor": 1.0,
    "original_max_position_embeddings": 64,
}
METHODS = [(ReRoPE(window=16),), (LeakyReRoPE(window=16, factor=4.0),), (StreamingLLM(window=16),)]


class TestArchitectures:
    @pytest.mark.parametrize("kind", RIGHT)
    def test_a_window_beyond_the_text_changes_nothing(self, kind):
        made = model(kind, **RIGHT[kind])
        before = logits(made, tokens())
        extend(made, ReRoPE(window=64))
        assert close(logits(made, tokens()), before)
        extend(made, ReRoPE(window=5))
        far = logits(made, tokens())
        assert not close(far, before)
        with torch.no_grad():
            first = made(tokens()[:, :30], use_cache=True)
            cache, rest = first.past_key_values, tokens()[:, 30:].split(1, dim=1)
            steps = [made(token, past_key_values=cache).logits for token in rest]
        assert close(torch.cat([first.logits, *steps], dim=1), far)
        assert torch.equal(logits(restore(made), tokens()), before)

    @pytest.mark.parametrize("kind", REFUSED)
    def test_what_ours_does_not_do_is_refused(self, kind):
        more, told = REFUSED[kind]
        made = model(kind, **more)
        before = logits(made, tokens())
        with pytest.raises(InputError, match=told):
            extend(made, ReRoPE(window=64))
        assert torch.equal(logits(made, tokens()), before)
        with pytest.raises(InputError, match="is not extended"):
            restore(made)

    @pytest.mark.parametrize("kind", ["gemma2", "deepseek_v3", "llama4_text", "falcon", "phi3"])
    def test_frequencies_can_be_rewritten_all_the_same(self, kind):
        more = REFUSED[kind][0] if kind in REFUSED else RIGHT[kind]
        made = model(kind, **more)
        before = logits(made, tokens())
        extend(made, NTKAware(factor=8.0))
        once = logits(made, tokens())
        assert not torch.allclose(once, before, atol=1e-3)
        extend(made, NTKAware(factor=2.0))
        extend(made, NTKAware(factor=8.0))
        assert torch.equal(logits(made, tokens()), once)
        assert torch.equal(logits(restore(made), tokens()), before)

    def test_layers_without_rotation_are_left_alone(self):
        """As if they were read by no map, and saw all."""
        made = model("smollm3", no_rope_layers=[1, 1, 1, 0])
        given = tokens()
        extend(made, StreamingLLM(window=5, sinks=2), LogLength(base=8.0, at_least_one=True))
        extended = logits(made, given)
        own = {layer.layer_idx: layer for layer in made.modules() if hasattr(layer, "_paribus_heads")}
        rotated = own[0]._paribus_heads
        assert own[3]._paribus_heads.scale is None
        own[3]._paribus_heads = rotated
        assert not close(logits(made, given), extended)

    def test_a_whole_rotary_must_have_the_pairing_of_the_model(self):
        made = model("cohere")
        with pytest.raises(InputError, match="turns other pairs than the model was trained with"):
            extend(made, Rotary(map=ReRoPE(window=5)))


class TestTrial:
    def test_it_leaves_all_as_it_is(self):
        made = model(attention_dropout=0.3).train()
        made.model.layers[1].eval()
        training = [module.training for module in made.modules()]
        state = torch.random.get_rng_state()
        hooks = [len(module._forward_hooks) for module in made.model.layers.modules()]
        extend(made, ReRoPE(window=5))
        assert torch.equal(torch.random.get_rng_state(), state)
        assert [module.training for module in made.modules()] == training
        assert [len(module._forward_hooks) for module in made.model.layers.modules()] == hooks
        with pytest.raises(InputError, match=r"asks its attention for dropout = 0\.3"):
            made(tokens())

    def test_an_attention_that_does_more_is_found_out(self, monkeypatch):
        made = model()
        layer = type(made.model.layers[0].self_attn)
        project = made.model.layers[2].self_attn.o_proj
        forward = layer.forward

        def twice(self, *given, **named):
            """Its own attention adds something that it tells nobody."""
            out, weights = forward(self, *given, **named)
            return (out if self.config._attn_implementation == "paribus" or self.layer_idx != 2 else 1.1 * out), weights

        monkeypatch.setattr(layer, "forward", twice)
        assert project is not None
        with pytest.raises(InputError, match="read by our attention differs from itself on 8 tokens"):
            extend(made, ReRoPE(window=5))

    def test_norms_after_the_rotation(self):
        """They keep no distance; where their gains are all alike they do."""
        made = model("hunyuan_v1_dense", head_dim=8)
        extend(made, ReRoPE(window=5))
        restore(made)
        with torch.no_grad():
            made.model.layers[1].self_attn.query_layernorm.weight[0] = 2.0
        with pytest.raises(InputError, match="turns its queries and keys in a way that is not known here"):
            extend(made, ReRoPE(window=5))

    @pytest.mark.parametrize("kind", ["llama", "cohere", "smollm3"])
    def test_in_16_bits(self, kind):
        made = model(kind).to(torch.bfloat16)
        before = logits(made, tokens())
        extend(made, ReRoPE(window=64))
        assert float((logits(made, tokens()) - before).norm() / before.norm()) < 0.03

    def test_a_model_without_weights(self):
        with torch.device("meta"):
            made = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**SIZE))
        for change in (ReRoPE(window=5), NTKAware(factor=2.0)):
            with pytest.raises(InputError, match="has no weights yet, it is on the device 'meta'"):
                extend(made, change)

    def test_a_table_that_is_not_what_the_config_tells(self):
        made = model()
        made.config.rope_parameters["rope_theta"] = 500.0
        with pytest.raises(InputError, match="holds 4 frequencies, which are not the 4 that its config tells of"):
            extend(made, NTKAware(factor=2.0))


class TestKinds:
    """Of rotary tables that transformers fills anew in every pass."""

    @pytest.mark.parametrize("length", [30, 90])
    def test_longrope(self, length):
        made, plain = model(rope_parameters=LONG), model()
        before = logits(made, tokens(length=length))
        for change in (NTKAware(factor=8.0), YaRN(factor=4.0, train_length=64)):
            extend(made, change)
            expected = logits(extend(plain, change), tokens(length=length))
            assert close(logits(made, tokens(length=length)), expected)
        extend(made, ReRoPE(window=64))
        if length < 64:
            assert close(logits(made, tokens(length=length)), before)
        assert torch.equal(logits(restore(made), tokens(length=length)), before)

    def test_dynamic_is_refused(self):
        made = model(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0})
        with pytest.raises(InputError, match="the config has the rope type 'dynamic'"):
            extend(made, NTKAware(factor=8.0))


class TestGaps:
    """Positions that do not follow one another: a cached reading is the whole one."""

    @staticmethod
    def cached(made, given, cuts, **more):
        """In parts that end at `cuts`, with a mask that grows along and positions of its own for each part."""
        cache, found = None, []
        for start, stop in zip((0, *cuts[:-1]), cuts, strict=True):
            mask, at = more["attention_mask"], more["position_ids"][:, start:stop]
            mask = mask[:, :stop] if mask.dim() == 2 else mask[:, :, start:stop, :stop]
            with torch.no_grad():
                out = made(
                    given[:, start:stop], attention_mask=mask, position_ids=at, past_key_values=cache, use_cache=True
                )
            cache = out.past_key_values
            found.append(out.logits)
        return torch.cat(found, dim=1)

    @pytest.mark.parametrize("changes", METHODS, ids=repr)
    def test_a_jump(self, changes):
        made, given = extend(model(), *changes), tokens(length=90)
        at = torch.cat([torch.arange(40), torch.arange(500, 550)])[None]
        told = {"position_ids": at, "attention_mask": torch.ones(1, 1, 90, 90).tril().bool()}
        whole = logits(made, given, **told)
        assert close(self.cached(made, given, (60, 87, 88, 89, 90), **told), whole)

    @pytest.mark.parametrize("changes", METHODS, ids=repr)
    def test_a_hole_in_the_mask_beside_a_padded_text(self, changes):
        made, given = extend(model(), *changes), tokens(batch=2, length=90)
        mask = torch.ones(2, 90, dtype=torch.int64)
        mask[0, 30:45] = 0
        mask[1, :20] = 0
        told = {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0), "attention_mask": mask}
        whole = logits(made, given, **told)
        found = self.cached(made, given, (60, 87, 88, 89, 90), **told)
        assert close(found[mask.bool()], whole[mask.bool()])
        alone = torch.cat([given[:1, :30], given[:1, 45:]], dim=1)
        assert close(whole[0, 45:], logits(made, alone)[0, 30:])

    def test_writing_goes_on_as_without_a_cache(self):
        made = extend(model(), LeakyReRoPE(window=16, factor=4.0))
        given, mask = tokens(length=60), torch.ones(1, 60, dtype=torch.int64)
        mask[0, 20:30] = 0
        options = {"attention_mask": mask, "max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
        expected = made.generate(given, use_cache=False, **options)
        assert torch.equal(made.generate(given, **options), expected)
        assert torch.equal(made.generate(given, cache_implementation="static", **options), expected)

    def test_a_cache_that_is_cut_or_split(self):
        made = extend(model(), ReRoPE(window=5))
        given = tokens(batch=2)
        expected = logits(made, given)
        with torch.no_grad():
            cache = made(given[:, :35], use_cache=True).past_key_values
            cache.crop(-5)
            found = made(given[:, 30:], past_key_values=copy.deepcopy(cache)).logits
            assert close(found, expected[:, 30:])
            cache.batch_repeat_interleave(2)
            found = made(given[:, 30:].repeat_interleave(2, dim=0), past_key_values=cache).logits
            assert close(found, expected[:, 30:].repeat_interleave(2, dim=0))

    def test_rows_of_a_split_cache_that_cannot_be_told_apart(self):
        made = extend(model(), ReRoPE(window=5))
        mask = torch.ones(2, 30, dtype=torch.int64)
        mask[0, :7] = 0
        at = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad():
            cache = made(tokens(2, 30), attention_mask=mask, position_ids=at, use_cache=True).past_key_values
            cache.batch_repeat_interleave(2)
            with pytest.raises(InputError, match="a cache of 2 sequences at different positions goes on with 4"):
                made(tokens(4, 1), past_key_values=cache, position_ids=torch.tensor([[23], [23], [30], [30]]))

    def test_the_inner_model_may_be_called_by_itself(self):
        made = extend(model(), ReRoPE(window=5))
        with torch.no_grad():
            whole = made.model(tokens()).last_hidden_state
            part = made.model(tokens()[:, :30], use_cache=True)
            rest = made.model(tokens()[:, 30:], past_key_values=part.past_key_values).last_hidden_state
        assert close(rest, whole[:, 30:])


class TestSaving:
    @pytest.mark.parametrize(
        "change",
        [
            NTKAware(factor=4.0),
            YaRN(factor=4.0, train_length=64),
            YaRN(factor=4.0, train_length=64, ramp="paper"),
            Llama3(factor=4.0, train_length=64),
            Rotary(base=2e4),
        ],
        ids=repr,
    )
    def test_a_rewrite_is_in_the_config(self, change, tmp_path):
        made = model(bos_token_id=1, eos_token_id=2)
        rope = copy.deepcopy(made.config.rope_parameters)
        expected = logits(extend(made, change), tokens(length=90))
        made.save_pretrained(tmp_path)
        again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
        assert close(logits(again, tokens(length=90)), expected)
        restore(made).save_pretrained(tmp_path)
        assert (
            json.loads((tmp_path / "config.json").read_text())["rope_parameters"] == rope == made.config.rope_parameters
        )

    def test_a_map_is_not_and_this_is_said(self, tmp_path):
        made = model(bos_token_id=1, eos_token_id=2)
        plain = logits(made, tokens())
        extend(made, ReRoPE(window=5))
        with pytest.warns(
            UserWarning, match=r"config\.json cannot say how this model is read: what is saved reads as it"
        ):
            made.save_pretrained(tmp_path)
        again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
        assert close(logits(again, tokens()), plain)
        restore(made).save_pretrained(tmp_path)

    def test_a_copy_is_extended_and_restored_by_itself(self):
        made = model()
        plain = logits(made, tokens())
        extend(made, ReRoPE(window=5))
        read = logits(made, tokens())
        other = copy.deepcopy(made)
        assert torch.equal(logits(other, tokens()), read)
        assert torch.equal(logits(restore(other), tokens()), plain)
        assert torch.equal(logits(made, tokens()), read)


def test_weights_of_the_attention_are_refused():
    made = extend(model(), ReRoPE(window=5))
    with pytest.raises(InputError, match="output_attentions=True: a model that is read by a map of distances"):
        made(tokens(), output_attentions=True)
    assert made(tokens(), output_hidden_states=True).hidden_states is not None
    restore(made).set_attn_implementation("eager")
    assert made(tokens(), output_attentions=True).attentions[0] is not None


def test_packed_texts_are_refused():
    made = extend(model(), ReRoPE(window=5))
    with pytest.raises(InputError, match="asks its attention for cu_seq_lens_q = a Tensor, which is not done"):
        made(tokens(), cu_seq_lens_q=torch.tensor([0, 20, 40]))
