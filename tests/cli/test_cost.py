"""`paribus cost` of a claim's arm, of folders and of a Hugging Face config.json; what it refuses."""

import json
from pathlib import Path

import pytest
import torch

from paribus.core.config import to_dict
from paribus.models.checkpoints import get
from paribus.models.checkpoints.checkpoint import Checkpoint
from paribus.models.checkpoints.deepseek_v2 import config_of
from paribus.models.cost import cost
from paribus.models.decoder import DecoderLM

CLAIMS = Path(__file__).parents[2] / "docs" / "claims"
LLAMA = {  # SmolLM2-135M
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
}

DEEPSEEK = {  # DeepSeek-V2-Lite
    "model_type": "deepseek_v2",
    "hidden_size": 2048,
    "intermediate_size": 10944,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "kv_lora_rank": 512,
    "q_lora_rank": None,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 102400,
    "tie_word_embeddings": False,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "num_experts_per_tok": 6,
    "moe_intermediate_size": 1408,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "rope_scaling": {"type": "yarn", "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707},
}


def priced(paribus_command, *words):
    said = paribus_command("cost", *words, "--json")
    assert said.code == 0, said
    return json.loads(said.out)


def test_a_claim(paribus_command, tmp_path):
    found = priced(paribus_command, "rerope", "--arm", "rerope", "--length", "512", "--plot", tmp_path / "cost.svg")
    assert found["schema"] == "paribus.cost/1"
    assert found["parameters"] == 623_488
    assert b"<svg" in (tmp_path / "cost.svg").read_bytes()
    words = paribus_command("cost", "rerope", "--length", "512").out
    assert "6 d_model" in words
    assert "12 d_model" in words
    assert "3,072 bytes a token" in words
    assert f"{found['step_flops']:,} FLOPs for token 512 of a sequence" in words


@pytest.mark.parametrize("name", ["vq-loss", "mla-against-gqa", "rerope"])
def test_every_arm_is_priced_as_the_claim_trains_it(paribus_command, name):
    """With the width that was solved for: the parameters of the kept report, also where one arm reads another."""
    report = (CLAIMS / name / "hour.md").read_text(encoding="utf-8")
    rows = [[word.strip() for word in line.split("|")[1:-1]] for line in report.splitlines() if line.startswith("|")]
    start = next(at for at, row in enumerate(rows) if row[2:4] == ["parameters", "training MFLOP a token"]) + 2
    kept = {row[0]: row for row in rows[start:] if row[1:2] and row[1].startswith(("trained", "weights of "))}
    assert len(kept) >= 4
    for arm, (_, _, parameters, training, *_) in kept.items():
        found = priced(paribus_command, name, "--arm", arm, "--length", "256")
        assert f"{found['parameters']:,}" == parameters
        if name == "vq-loss":  # trained at this length
            assert f"{found['training_flops'] / 1e6:.3f}" == training


def test_a_checkpoint(paribus_command, tmp_path):
    """SmolLM2: 134.5 million parameters, 23,040 bytes of 16 bits a token."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    for where in (tmp_path, tmp_path / "config.json"):
        found = priced(paribus_command, where, "--half", "--length", "8192")
        assert found["parameters"] == 134_515_008
        assert found["cache_bytes_per_token"] == 23_040


def test_a_latent_checkpoint_without_experts(paribus_command, tmp_path):
    told = DEEPSEEK | {"n_routed_experts": None, "num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps(told))
    found = priced(paribus_command, tmp_path, "--length", "4096", "--plot", tmp_path / "cost.svg")
    model = config_of(told | {"rope_scaling": None, "rope_theta": 1e4})
    assert found["parameters"] == found["active_parameters"] == model.n_parameters()
    assert found["flops"] == model.flops(4096) / 4096
    assert found["cache_bytes_per_token"] == 2 * (512 + 64) * 4
    # A pair costs 16 heads of 128 + 64 + 128 numbers, a token 2 FLOPs for each number of the layers' matrices.
    norms = 2 * (2 * 2048 + 512) + 2048
    matrices = (found["parameters"] - norms - 2 * 102400 * 2048) / 2
    assert found["meets"] == round(matrices / (16 * (128 + 64 + 128)))
    assert b"<svg" in (tmp_path / "cost.svg").read_bytes()


def test_a_mixture_of_experts(paribus_command, tmp_path):
    """DeepSeek-V2-Lite and DeepSeek-V2: 15.7 and 236 billion parameters as published, of the latter 21 at work."""
    larger = {
        "hidden_size": 5120,
        "intermediate_size": 12288,
        "num_hidden_layers": 60,
        "num_attention_heads": 128,
        "q_lora_rank": 1536,
        "moe_intermediate_size": 1536,
        "n_routed_experts": 160,
    }
    for told, parameters, active, layers in (
        (DEEPSEEK, 15_706_484_224, 2_661_150_208, 27),
        (DEEPSEEK | larger, 235_741_434_880, 21_375_800_320, 60),
    ):
        (tmp_path / "config.json").write_text(json.dumps(told))
        found = priced(paribus_command, tmp_path, "--half", "--plot", tmp_path / "cost.svg")
        assert found["parameters"] == parameters
        assert sum(found["parameters_by_part"].values()) == parameters
        assert found["active_parameters"] == active
        assert found["cache_bytes_per_token"] == layers * (512 + 64) * 2
        # The embedding is looked up, and everything else that a token meets costs 2 FLOPs; norms are counted nowhere.
        matrices = found["active_parameters"] - told["vocab_size"] * told["hidden_size"]
        assert found["flops"] - found["quadratic"] == pytest.approx(2 * matrices, rel=1e-3)
    words = paribus_command("cost", tmp_path).out
    assert "a token meets" in words
    assert "MixtureOfExperts 225," in words


def test_the_parameters_are_those_of_transformers(paribus_command, tmp_path):
    transformers = pytest.importorskip("transformers")
    sizes = {
        "hidden_size": 24,
        "intermediate_size": 36,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "kv_lora_rank": 14,
        "q_lora_rank": 20,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 6,
        "v_head_dim": 10,
        "vocab_size": 37,
        "n_routed_experts": 8,
        "n_shared_experts": 3,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 12,
        "first_k_dense_replace": 2,
        "n_group": 2,
        "topk_group": 1,
    }
    for kind in (transformers.DeepseekV2Config, transformers.DeepseekV3Config):
        told = kind(**sizes)
        told.save_pretrained(tmp_path)
        with torch.device("meta"):
            theirs = transformers.AutoModelForCausalLM.from_config(told)
        assert priced(paribus_command, tmp_path)["parameters"] == sum(weight.numel() for weight in theirs.parameters())


def test_a_gguf_file(paribus_command, tmp_path, monkeypatch):
    told = Checkpoint(tmp_path / "m.gguf", LLAMA, {})
    monkeypatch.setattr("paribus.models.checkpoints.open.open_checkpoint", lambda word: told)
    assert priced(paribus_command, tmp_path / "m.gguf")["parameters"] == 134_515_008


def test_a_trained_folder_and_a_cell(paribus_command, tmp_path):
    from paribus.lab.load import load

    config = load("rerope")[1].arms[0].config
    assert isinstance(config, DecoderLM.Config)
    for name, key in (("model.json", "model"), ("cell.json", "config")):
        folder = tmp_path / key
        folder.mkdir()
        (folder / name).write_text(json.dumps({key: to_dict(config)}))
        assert priced(paribus_command, folder)["flops"] == cost(config, 2048).flops


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing-such",), "unknown claim 'nothing-such'"),
        (("rerope", "--arm", "nobody"), "this claim has no arm 'nobody'"),
        (("rerope", "--length", "0"), "length = 0: expected at least 1 token"),
        (("missing.json",), "there is no file missing.json"),
        (("broken.json",), "broken.json is no JSON"),
        (("other.json",), "other.json is a 'bert' model: llama, mistral, deepseek_v2, deepseek_v3 can be priced here"),
        (("list.json",), "list.json holds no JSON object"),
        (("heads.json",), "heads.json: n_heads (9) must be divisible by n_kv_heads (2) (in config.json n_heads is"),
        (("lacks.json",), "lacks.json: config.json lacks 'vocab_size'"),
        (("wide.json",), "latent = 700 is wider than what it compresses, n_heads (head_dim + value_dim) = 640"),
        (("wide.json",), "latent is kv_lora_rank"),
        (("experts.json",), "experts.json: config.json has n_routed_experts = 'many': expected a whole number"),
        (("more.json",), "more.json: a token meets n_active = 9 of n_experts = 8 experts: expected at least 1"),
        (("own.json",), "own.json: unknown DecoderLM 'Denoiser'"),
        (("smollm2",), "smollm2 is not on this machine: fetch it by `paribus models get smollm2`"),
        (("none.gguf",), "there is no file or folder 'none.gguf'"),
        (("empty",), "empty holds no model (no model.json, no cell.json, no config.json)"),
        (("rerope", "--plot", "x.txt"), "expected a name that ends in .svg, .png or .pdf"),
    ],
)
def test_what_is_refused(refused, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text('{"model_type": "bert"}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "own.json").write_text('{"model": {"part": "Denoiser"}}')
    for name, told in {
        "heads": LLAMA | {"num_key_value_heads": 2},
        "lacks": {key: value for key, value in LLAMA.items() if key != "vocab_size"},
        "wide": DEEPSEEK | {"num_attention_heads": 2, "kv_lora_rank": 700, "qk_nope_head_dim": 192},
        "experts": DEEPSEEK | {"n_routed_experts": "many"},
        "more": DEEPSEEK | {"n_routed_experts": 8, "num_experts_per_tok": 9},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    monkeypatch.setattr(get, "folder", lambda: tmp_path / "models")
    (tmp_path / "empty").mkdir()
    assert said in refused("cost", *words)
