"""DeepSeek-V2-type checkpoints: the logits that transformers gives, and the same tensors back."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from paribus.core.errors import InputError
from paribus.models.checkpoints.open import load_checkpoint, save_checkpoint
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.scaling.yarn import YaRN

transformers = pytest.importorskip("transformers")


@pytest.fixture(params=[20, None], ids=["query latent", "plain queries"])
def theirs(request, tmp_path):
    torch.manual_seed(0)
    config = transformers.DeepseekV2Config(
        vocab_size=37,
        hidden_size=24,
        intermediate_size=36,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=3,
        kv_lora_rank=14,
        q_lora_rank=request.param,
        qk_rope_head_dim=6,
        qk_nope_head_dim=8,
        v_head_dim=10,
        head_dim=6,
        first_k_dense_replace=2,
        max_position_embeddings=64,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        initializer_range=0.3,
        rms_norm_eps=1e-5,
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    model.save_pretrained(tmp_path / "theirs")
    return model, tmp_path


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


def test_experts_are_refused(theirs):
    _, folder = theirs
    path = folder / "theirs" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"n_routed_experts": 8, "first_k_dense_replace": 1}))
    with pytest.raises(InputError, match="8 experts in its layers from 1 on: mixtures of experts cannot be read"):
        load_checkpoint(str(folder / "theirs"))
