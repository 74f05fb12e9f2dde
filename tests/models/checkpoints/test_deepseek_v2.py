"""DeepSeek-V2-type checkpoints, with experts and without: the logits of transformers, and the same tensors back."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.core.errors import InputError
from paribus.layers.activations.gelu import GELU
from paribus.layers.feed_forward.experts import MixtureOfExperts
from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.checkpoints.deepseek_v2 import config_of, described
from paribus.models.checkpoints.mscale import without_mscale
from paribus.models.checkpoints.open import load_checkpoint, open_checkpoint, save_checkpoint
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.scaling.yarn import YaRN

transformers = pytest.importorskip("transformers")


SIZES = {
    "vocab_size": 37,
    "hidden_size": 24,
    "intermediate_size": 36,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "kv_lora_rank": 14,
    "q_lora_rank": 20,
    "qk_rope_head_dim": 6,
    "qk_nope_head_dim": 8,
    "v_head_dim": 10,
    "head_dim": 6,
    "first_k_dense_replace": 2,
    "max_position_embeddings": 64,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
    "initializer_range": 0.3,
    "rms_norm_eps": 1e-5,
}
GREEDY = {
    "num_hidden_layers": 3,
    "first_k_dense_replace": 1,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "n_shared_experts": 2,
    "moe_intermediate_size": 8,
    "routed_scaling_factor": 1.0,
}
GROUPS = GREEDY | {
    "topk_method": "group_limited_greedy",
    "n_group": 4,
    "topk_group": 2,
    "routed_scaling_factor": 16.0,
    "first_k_dense_replace": 0,
    "q_lora_rank": None,
}
KINDS = {
    "query latent": {},
    "plain queries": {"q_lora_rank": None},
    "experts": GREEDY,
    "experts, plain queries": GREEDY | {"q_lora_rank": None, "n_shared_experts": 1},
    "experts, groups": GROUPS,
    "experts, groups, dense layers": GROUPS | {"first_k_dense_replace": 2, "q_lora_rank": 20},
}


def made(folder, **fields):
    """A random model of transformers, saved."""
    torch.manual_seed(0)
    config = transformers.DeepseekV2Config(**SIZES | fields)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    return model


def changed(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return str(folder)


@pytest.fixture(params=KINDS)
def theirs(request, tmp_path):
    return made(tmp_path / "theirs", **KINDS[request.param]), tmp_path


def tokens():
    return torch.randint(37, (2, 19), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_the_logits_are_those_of_transformers(theirs):
    model, folder = theirs
    ours = load_checkpoint(str(folder / "theirs")).model
    expected = model(tokens()).logits
    assert torch.allclose(ours(tokens()), expected, atol=5e-5)
    state, found = ours.start(2, 19), []
    for at in range(19):  # the absorbed form, one token at a time
        logits, state = ours.prefill(tokens()[:, at : at + 1], torch.full((2, 1), at), state)
        found.append(logits)
    assert torch.allclose(torch.cat(found, dim=1), expected, atol=5e-5)


def test_the_same_tensors_come_back(theirs):
    _, folder = theirs
    save_checkpoint(load_checkpoint(str(folder / "theirs")).model, folder / "out", max_length=64)
    before, after = (load_file(folder / place / "model.safetensors") for place in ("theirs", "out"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@torch.no_grad()
def test_transformers_reads_what_was_extended_in_another_order_of_pairs(theirs):
    _, folder = theirs
    loaded = load_checkpoint(str(folder / "theirs")).model
    yarn = replace(loaded.config.mixer.position, scaling=YaRN(factor=4.0, train_length=64))
    interleaved = loaded.config.with_mixer(position=yarn).build()
    interleaved.load_state_dict(loaded.state_dict())
    save_checkpoint(interleaved, folder / "out", max_length=256, train_length=64)
    again = transformers.AutoModelForCausalLM.from_pretrained(folder / "out")
    assert torch.allclose(again(tokens()).logits, interleaved(tokens()), atol=5e-5)
    half = loaded.config.with_mixer(position=replace(loaded.config.mixer.position, pairing=HalfSplit())).build()
    half.load_state_dict(loaded.state_dict())
    save_checkpoint(half, folder / "half", max_length=64)
    assert torch.allclose(load_checkpoint(str(folder / "half")).model(tokens()), half(tokens()), atol=5e-5)


@torch.no_grad()
def test_transformers_loads_what_is_saved(theirs):
    model, folder = theirs
    save_checkpoint(load_checkpoint(str(folder / "theirs")).model, folder / "out", max_length=64)
    again = transformers.AutoModelForCausalLM.from_pretrained(folder / "out")
    assert torch.equal(again(tokens()).logits, model(tokens()).logits)


def test_the_names_of_a_checkpoint(tmp_path):
    """Those of DeepSeek's files, however a module stores its experts."""
    made(tmp_path, **GREEDY)
    names = load_file(tmp_path / "model.safetensors").keys()
    for one in ("gate.weight", "experts.7.up_proj.weight", "shared_experts.down_proj.weight"):
        assert f"model.layers.1.mlp.{one}" in names
    assert "model.layers.0.mlp.gate_proj.weight" in names
    config = load_checkpoint(str(tmp_path)).model.config
    experts = MixtureOfExperts.Config(d_ff=8, n_experts=8, n_active=3, n_shared=2)
    assert config.feed_forward == (GatedFeedForward.Config(d_ff=36), experts, experts)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # transformers' shared experts, of no width
@torch.no_grad()
def test_experts_drawn_here(tmp_path):
    """Without shared experts, and every layer a mixture: what training leaves, as transformers reads it."""
    made(tmp_path / "theirs", **GREEDY)
    config = load_checkpoint(str(tmp_path / "theirs")).model.config
    experts = MixtureOfExperts.Config(d_ff=4, n_experts=6, n_active=2, n_groups=3, n_active_groups=2, scale=2.5)
    model = replace(config, feed_forward=experts).build()
    draw(model, 0)
    save_checkpoint(model, tmp_path / "out", max_length=64)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.allclose(again(tokens()).logits, model(tokens()), atol=5e-5)
    again.save_pretrained(tmp_path / "again")
    assert torch.equal(load_checkpoint(str(tmp_path / "again")).model(tokens()), model(tokens()))


@torch.no_grad()
def test_normalised_weights(tmp_path):
    """norm_topk_prob as in DeepSeek's own code; transformers reads past it, which is why its experts are weighed here.

    The oracle is transformers' model with a router whose weights are divided by their sum.
    """
    model = made(tmp_path / "theirs", **GREEDY, norm_topk_prob=True)
    ours = load_checkpoint(str(tmp_path / "theirs")).model
    assert not torch.allclose(ours(tokens()), model(tokens()).logits, atol=1e-2)

    def normalised(module, inputs, outputs):
        logits, weights, chosen = outputs
        return logits, weights / weights.sum(dim=-1, keepdim=True), chosen

    for layer in model.model.layers[1:]:
        layer.mlp.gate.register_forward_hook(normalised)
    assert torch.allclose(ours(tokens()), model(tokens()).logits, atol=5e-5)
    save_checkpoint(ours, tmp_path / "out", max_length=64)
    assert load_checkpoint(str(tmp_path / "out")).model.config == ours.config
    # A single weight is not normalised: it would be 1 whatever the router says.
    single = load_checkpoint_config(tmp_path / "theirs", num_experts_per_tok=1, routed_scaling_factor=2.0)
    assert (single.feed_forward[-1].normalise, single.feed_forward[-1].scale) == (False, 2.0)


def load_checkpoint_config(folder, **fields):
    return config_of(open_checkpoint(changed(folder, **fields)).config)


def test_the_published_configs():
    """DeepSeek-V2-Lite and DeepSeek-V2, with 15.7 and 235.7 billion parameters: what their config.json asks for."""
    yarn = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096}
    lite = {
        "hidden_size": 2048,
        "intermediate_size": 10944,
        "moe_intermediate_size": 1408,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "kv_lora_rank": 512,
        "q_lora_rank": None,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "vocab_size": 102400,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "num_experts_per_tok": 6,
        "first_k_dense_replace": 1,
        "moe_layer_freq": 1,
        "topk_method": "greedy",
        "n_group": 1,
        "topk_group": 1,
        "scoring_func": "softmax",
        "norm_topk_prob": False,
        "routed_scaling_factor": 1.0,
        "rope_theta": 10000,
        "rope_scaling": yarn | {"beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707},
    }
    large = lite | {
        "hidden_size": 5120,
        "intermediate_size": 12288,
        "moe_intermediate_size": 1536,
        "num_hidden_layers": 60,
        "num_attention_heads": 128,
        "q_lora_rank": 1536,
        "n_routed_experts": 160,
        "topk_method": "group_limited_greedy",
        "n_group": 8,
        "topk_group": 3,
        "routed_scaling_factor": 16.0,
    }
    for told, n_parameters, active in (
        (lite, 15_706_484_224, 2_661_150_208),
        (large, 235_741_434_880, 21_375_800_320),
    ):
        config = config_of(told)
        assert (config.n_parameters(), config.active_parameters()) == (n_parameters, active)
        assert config.mixer.scale.factor == pytest.approx((0.0707 * math.log(40) + 1) ** 2)
        assert config.mixer.position.scaling.magnitude == pytest.approx(1.0)
        assert (
            described(config, 163840, 4096).items()
            >= {name: value for name, value in told.items() if not name.startswith("rope")}.items()
        )
    assert config.feed_forward[-1] == MixtureOfExperts.Config(
        d_ff=1536, n_experts=160, n_active=6, n_shared=2, n_groups=8, n_active_groups=3, scale=16.0
    )


@pytest.mark.parametrize("mscale", [(0.707, 0.707), (1.0, 0.5)], ids=str)
@torch.no_grad()
def test_the_yarn_of_deepseek(tmp_path, mscale):
    """mscale divides the temperature between the rotary part and all scores: as in DeepSeek-V2 and V2-Lite."""
    yarn = {
        "rope_type": "yarn",
        "rope_theta": 500.0,
        "factor": 40.0,
        "original_max_position_embeddings": 16,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": mscale[0],
        "mscale_all_dim": mscale[1],
    }
    model = made(tmp_path / "theirs", **GREEDY, rope_parameters=yarn)
    ours = load_checkpoint(str(tmp_path / "theirs")).model
    assert ours.config.mixer.scale.factor == pytest.approx((0.1 * mscale[1] * math.log(40) + 1) ** 2)
    assert torch.allclose(ours(tokens()), model(tokens()).logits, atol=5e-5)
    save_checkpoint(ours, tmp_path / "out", max_length=640, train_length=16)
    told = json.loads((tmp_path / "out" / "config.json").read_text())["rope_parameters"]
    assert (told["mscale"], told["mscale_all_dim"]) == pytest.approx(mscale)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.allclose(again(tokens()).logits, ours(tokens()), atol=5e-5)
    # As DeepSeek's files say it.
    old = {"rope_parameters": None, "rope_theta": 500.0, "rope_scaling": yarn | {"rope_type": None, "type": "yarn"}}
    del old["rope_scaling"]["rope_type"], old["rope_scaling"]["rope_theta"]
    assert load_checkpoint_config(tmp_path / "theirs", **old) == ours.config


@pytest.mark.parametrize(
    ("given", "turned", "scores"),
    [
        ({}, None, 1.0),
        ({"mscale": None, "mscale_all_dim": None}, None, 1.0),
        ({"mscale": 0, "mscale_all_dim": 0}, 1.0, 1.0),  # told to be 0, which is not to tell nothing
        ({"mscale": 0}, 1.0, 1.0),
        ({"mscale": 1}, 1 + 0.1 * math.log(4), 1.0),
        ({"mscale_all_dim": 0}, 1 + 0.1 * math.log(4), 1.0),
        ({"mscale": 1, "mscale_all_dim": 1}, 1.0, (1 + 0.1 * math.log(4)) ** 2),
    ],
    ids=str,
)
def test_mscale_as_the_published_code_reads_it(given, turned, scores):
    rope = {"rope_type": "yarn", "factor": 4.0}
    told, found = without_mscale({"rope_parameters": rope | given})
    assert found == pytest.approx(scores)
    assert told["rope_parameters"].get("attention_factor") == (turned and pytest.approx(turned))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"topk_method": "noaux_tc"}, "topk_method 'noaux_tc', that of DeepSeek-V3, for its experts: only 'greedy'"),
        ({"topk_method": "other"}, "topk_method 'other' for its experts"),
        ({"scoring_func": "sigmoid"}, "scoring_func 'sigmoid' for its experts: only 'softmax' can be read"),
        ({"topk_method": "group_limited_greedy", "n_group": 3, "topk_group": 1}, "n_group"),
        ({"topk_method": "group_limited_greedy", "n_group": None}, "n_group = None: expected a whole number"),
        ({"num_experts_per_tok": 9}, "num_experts_per_tok"),
        ({"num_experts_per_tok": None}, "num_experts_per_tok = None: expected a whole number"),
        ({"moe_intermediate_size": 0}, "moe_intermediate_size = 0: expected a whole number, 1 or more"),
        ({"routed_scaling_factor": "much"}, "routed_scaling_factor = 'much': expected a number"),
        ({"norm_topk_prob": True, "routed_scaling_factor": 16.0}, "none is guessed; write 1.0"),
        ({"n_routed_experts": 9}, r"needs model\.layers\.1\.mlp\.experts\.8\."),
        ({"n_shared_experts": None}, r"does not know model\.layers\.1\.mlp\.shared_experts"),
        ({"moe_layer_freq": 2}, r"does not know model\.layers\.1\.mlp\.experts"),
        ({"moe_intermediate_size": 9}, r"experts\.0\..*the config asks for"),
        (
            {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0, "mscale": 1.0}},
            "mscale for a rotation that is not yarn",
        ),
    ],
)
def test_experts_that_are_refused(experts, fields, said):
    with pytest.raises(InputError, match=said):
        load_checkpoint(changed(experts, **fields))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experts")
    made(folder, **GREEDY)
    return folder


@pytest.fixture
def experts(kept, tmp_path):
    return Path(shutil.copytree(kept, tmp_path / "experts"))


def test_networks_that_no_such_checkpoint_has(kept, tmp_path):
    config = load_checkpoint(str(kept)).model.config
    dense, mixture, _ = config.feed_forward
    for networks, said in (
        ((mixture, dense, mixture), "dense layers first and then experts, all alike"),
        ((dense, mixture, replace(mixture, d_ff=9)), "dense layers first and then experts, all alike"),
        ((dense, replace(dense, d_ff=9), mixture), "9, 36 wide, and such checkpoints have one width"),
        (replace(mixture, normalise=True, scale=2.0), "normalises two weights or more and then has no scale"),
        (replace(mixture, activation=GELU()), "no GELU"),
        (FeedForward.Config(d_ff=8), "FeedForward is not the gated network"),
    ):
        with pytest.raises(InputError, match=said):
            save_checkpoint(replace(config, feed_forward=networks).build(), tmp_path / "out", max_length=64)
    with pytest.raises(InputError, match=r"scores times 2\.5 can be said in config\.json only where they grow"):
        save_checkpoint(config.with_mixer(scale=InverseSqrt(factor=2.5)).build(), tmp_path / "out", max_length=64)
    llama = replace(config, mixer=GroupedQuery.Config(n_heads=2))
    with pytest.raises(InputError, match="MixtureOfExperts is not the gated network"):
        save_checkpoint(llama.build(), tmp_path / "out", max_length=64)
    scaled = GroupedQuery.Config(n_heads=2, scale=InverseSqrt(factor=2.5))
    with pytest.raises(InputError, match=r"cannot say that scores are multiplied by 2\.5"):
        save_checkpoint(replace(llama, mixer=scaled, feed_forward=dense).build(), tmp_path / "out", max_length=64)
    assert not (tmp_path / "out").exists()
