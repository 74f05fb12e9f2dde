"""Checkpoints with Hugging Face's names, from folders and GGUF files: the logits that transformers gives."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from paribus.core.errors import InputError
from paribus.generation.generate import generate
from paribus.layers.parameters import draw
from paribus.models.checkpoints.llama import config_of
from paribus.models.checkpoints.open import is_checkpoint, load_checkpoint, open_checkpoint, save_checkpoint
from paribus.ops import few_rows, kernels
from paribus.ops.blocks import attached
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.pairing.convert import convert
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.pairing.interleaved import Interleaved
from paribus.positions.scaling.llama3 import Llama3
from paribus.positions.scaling.ntk_aware import NTKAware
from paribus.positions.scaling.ntk_mixed import NTKMixed
from paribus.positions.scaling.position_interpolation import PositionInterpolation
from paribus.positions.scaling.yarn import YaRN

TINY = Path(__file__).parent / "fixtures" / "tiny-llama"


@pytest.fixture
def tiny(tmp_path):
    return Path(shutil.copytree(TINY, tmp_path / "tiny"))


@torch.no_grad()
def logits(model, tokens):
    return model(tokens)


def changed(folder, **fields):
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))
    return str(folder)


def test_the_logits_are_those_of_transformers():
    expected = load_file(TINY / "expected.safetensors")
    loaded = load_checkpoint(str(TINY))
    assert torch.allclose(logits(loaded.model, expected["tokens"]), expected["logits"], atol=2e-5, rtol=1e-5)
    assert loaded.checkpoint.end_tokens == (2,)


def stored(folder, **tensors):
    """The folder with these tensors in place of its own."""
    named = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file({**load_file(folder / "model.safetensors"), **named}, folder / "model.safetensors")
    return str(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tied_model_with_an_output_matrix_of_its_own(tiny, tmp_path, dtype):
    """As transformers does it: what is stored counts. The fixture's is no copy of its embedding."""
    expected = load_file(TINY / "expected.safetensors")
    head = load_file(TINY / "model.safetensors")["lm_head.weight"]
    loaded = load_checkpoint(stored(Path(changed(tiny, tie_word_embeddings=True)), lm_head__weight=head.to(dtype)))
    assert not loaded.model.config.tie_embeddings
    assert torch.equal(loaded.model.output_matrix, head.to(dtype).float())
    if dtype == torch.float32:
        assert torch.allclose(logits(loaded.model, expected["tokens"]), expected["logits"], atol=2e-5, rtol=1e-5)
    save_checkpoint(loaded.model, tmp_path / "out", max_length=64)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False
    embedding = load_file(TINY / "model.safetensors")["model.embed_tokens.weight"]
    for same in (embedding.clone(), torch.zeros(0)):  # a copy, or nothing, is no matrix of its own
        assert load_checkpoint(stored(tiny, lm_head__weight=same)).model.head is None
    with pytest.raises(InputError, match=r"lm_head.weight has shape \(3, 32\), the config asks for"):
        load_checkpoint(stored(tiny, lm_head__weight=torch.zeros(3, 32)))


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(tiny, odd):
    weight = load_file(tiny / "model.safetensors")["model.norm.weight"]
    weight[3] = odd
    with pytest.raises(InputError, match=r"model\.norm\.weight holds numbers that are not finite as float32: the file"):
        load_checkpoint(stored(tiny, model__norm__weight=weight))


def test_a_saved_checkpoint_is_the_one_that_was_read(tmp_path):
    loaded = load_checkpoint(str(TINY))
    save_checkpoint(loaded.model, tmp_path / "out", max_length=64)
    before, after = load_file(TINY / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    told, kept = (json.loads((place / "config.json").read_text()) for place in (TINY, tmp_path / "out"))
    assert {name: told[name] for name in kept} == kept


def test_a_model_in_interleaved_pairs_is_saved_in_half_split_order(tmp_path):
    loaded = load_checkpoint(str(TINY))
    position = loaded.model.config.mixer.position
    turned = loaded.model.config.with_mixer(position=replace(position, pairing=Interleaved())).build()
    turned.load_state_dict(loaded.model.state_dict())
    with torch.no_grad():
        for layer in turned.layers:
            for part, heads in ((layer.mixer.query, 4), (layer.mixer.key, 2)):
                part.weight.copy_(convert(part.weight, heads, before=HalfSplit(), after=Interleaved()))
    save_checkpoint(turned, tmp_path / "out", max_length=64)
    again = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(tensor, again[name]) for name, tensor in load_file(TINY / "model.safetensors").items())


NAMED = {
    "linear": PositionInterpolation(factor=4.0),
    "yarn": YaRN(factor=4.0, train_length=64, fast=16.0, temperature=0.2),
    "llama3": Llama3(factor=4.0, train_length=64),
}
OTHERS = [NTKAware(factor=4.0), YaRN(factor=4.0, train_length=64, ramp="paper"), NTKMixed(factor=2.0)]


@pytest.mark.parametrize("scaling", [*NAMED.values(), *OTHERS], ids=repr)
def test_rewritten_frequencies_are_written_and_read(tmp_path, scaling):
    config = load_checkpoint(str(TINY)).model.config
    position = replace(config.mixer.position, scaling=scaling)
    save_checkpoint(config.with_mixer(position=position).build(), tmp_path / "out", max_length=256, train_length=64)
    told = open_checkpoint(str(tmp_path / "out")).config
    assert told["max_position_embeddings"] == 256
    read = load_checkpoint(str(tmp_path / "out")).model.config.mixer.position
    assert torch.allclose(read.frequencies(10), position.frequencies(10), rtol=1e-12)
    assert read.scaling.magnitude == pytest.approx(scaling.magnitude, rel=1e-12)
    kind = {type(one): name for name, one in NAMED.items()}.get(type(scaling), "longrope")
    assert told["rope_parameters"]["rope_type"] == ("longrope" if scaling in OTHERS else kind)


@pytest.mark.parametrize("scaling", [*NAMED.values(), *OTHERS], ids=repr)
def test_transformers_reads_the_same_frequencies(tmp_path, scaling):
    transformers = pytest.importorskip("transformers")
    loaded = load_checkpoint(str(TINY)).model
    config = loaded.config.with_mixer(position=replace(loaded.config.mixer.position, scaling=scaling))
    model = config.build()
    model.load_state_dict(loaded.state_dict())
    save_checkpoint(model, tmp_path / "out", max_length=256, train_length=64)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokens = torch.randint(37, (1, 90))
    with torch.no_grad():
        assert torch.allclose(theirs(tokens).logits, logits(model, tokens), atol=1e-4)


def test_a_map_of_distances_is_not_saved_as_something_else(tmp_path):
    config = load_checkpoint(str(TINY)).model.config
    mapped = config.with_mixer(position=replace(config.mixer.position, map=ReRoPE(window=8)))
    with pytest.raises(InputError, match=r"ReRoPE maps distances, which no config\.json can say"):
        save_checkpoint(mapped.build(), tmp_path / "out", max_length=64)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"rope_parameters": "absent"}, "gives no rope_theta.*no value is guessed"),
        ({"rope_parameters": {"rope_type": "default"}}, "gives no rope_theta"),
        ({"rope_parameters": {"rope_type": "strange", "rope_theta": 1e4}}, "rope type 'strange'"),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}, "'linear' of the config lacks 'factor'"),
        (
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}},
            "lacks 'original_max_position_embeddings'",
        ),
        ({"partial_rotary_factor": 0.5}, "a part of each head only"),
        ({"attention_bias": True}, "asks for biases"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"model_type": "mamba"}, "is a 'mamba' model"),
        ({"sliding_window": 16}, "asks for a sliding window"),
        ({"num_hidden_layers": 3}, r"needs model\.layers\.2\..*and 6 more"),
        ({"num_hidden_layers": 1}, r"does not know model\.layers\.1\."),
        ({"intermediate_size": 40}, r"shape \(36, 24\), the config asks for \(40, 24\)"),
        ({"hidden_size": "absent"}, "lacks 'hidden_size'"),
    ],
)
def test_configs_that_are_refused(tiny, fields, told):
    with pytest.raises(InputError, match=told):
        load_checkpoint(changed(tiny, **fields))


def test_the_config_of_transformers_4(tiny):
    word = changed(tiny, rope_parameters="absent", rope_theta=500.0, rope_scaling=None)
    assert config_of(open_checkpoint(word).config) == load_checkpoint(str(TINY)).model.config


def test_weights_in_several_files(tiny):
    whole = load_file(tiny / "model.safetensors")
    half = sorted(whole)[: len(whole) // 2]
    parts = {"a.safetensors": half, "b.safetensors": sorted(set(whole) - set(half))}
    for file, names in parts.items():
        save_file({name: whole[name] for name in names}, tiny / file)
    (tiny / "model.safetensors").unlink()
    index = {"weight_map": {name: file for file, names in parts.items() for name in names}}
    (tiny / "model.safetensors.index.json").write_text(json.dumps(index))
    expected = load_file(TINY / "expected.safetensors")
    assert torch.allclose(logits(load_checkpoint(str(tiny)).model, expected["tokens"]), expected["logits"], atol=2e-5)
    (tiny / "b.safetensors").unlink()
    with pytest.raises(InputError, match=r"lacks b\.safetensors"):
        load_checkpoint(str(tiny))


def test_folders_that_hold_no_readable_weights(tiny, tmp_path):
    (tiny / "model.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="is damaged"):
        load_checkpoint(str(tiny))
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin, a pickle, which can run code"):
        load_checkpoint(str(tiny))
    (tiny / "config.json").write_text("[]")
    with pytest.raises(InputError, match="holds no JSON object"):
        load_checkpoint(str(tiny))
    with pytest.raises(InputError, match=r"no file or folder 'smollm3'.*did you mean smollm2"):
        load_checkpoint("smollm3")
    with pytest.raises(InputError, match="is no checkpoint: expected a"):
        load_checkpoint(str(tmp_path))
    assert not is_checkpoint(str(tmp_path))


def write_gguf(path, weights, config, architecture="llama", extra=None, facts=None, left_out=(), kind=None):
    """The tiny model as llama.cpp would store it: interleaved pairs, its own names."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    if "tokens" not in left_out:
        writer.add_token_list([f"t{i}" for i in range(config["vocab_size"])])
    for name, told in (facts or {}).items():
        if isinstance(told, str):
            writer.add_string(name, told)
        else:
            writer.add_uint32(name, told)
    from paribus.models.checkpoints.gguf_file import INSIDE, OUTSIDE

    theirs = {hf: name for name, hf in OUTSIDE.items()}
    for layer in range(config["num_hidden_layers"]):
        theirs |= {f"model.layers.{layer}.{hf}.weight": f"blk.{layer}.{name}.weight" for name, hf in INSIDE.items()}
    for name, tensor in weights.items():
        stored = tensor
        for part, heads in (("q_proj", config["num_attention_heads"]), ("k_proj", config["num_key_value_heads"])):
            if part in name:
                stored = convert(tensor, heads, before=HalfSplit(), after=Interleaved())
        if kind is None or stored.ndim == 1:
            writer.add_tensor(theirs[name], stored.numpy())
        else:
            raw = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(theirs[name], gguf.quants.quantize(stored.numpy(), raw), raw_dtype=raw)
    for name in extra or ():
        writer.add_tensor(name, np.zeros(4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_gives_the_same_model(tmp_path):
    config = json.loads((TINY / "config.json").read_text())
    write_gguf(tmp_path / "m.gguf", load_file(TINY / "model.safetensors"), config)
    loaded = load_checkpoint(str(tmp_path / "m.gguf"))
    expected = load_file(TINY / "expected.safetensors")
    assert torch.allclose(logits(loaded.model, expected["tokens"]), expected["logits"], atol=2e-5, rtol=1e-5)
    assert loaded.checkpoint.tokenizer is None


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0", "F16"])
def test_quantised_weights_are_decoded_from_their_blocks(tmp_path, monkeypatch, kind):
    """The blocks hold the float32 matrix bit for bit, rows of heads in their new order, and a step reads only them."""
    config = json.loads((TINY / "config.json").read_text()) | {
        "hidden_size": 64, "intermediate_size": 96, "head_dim": 16, "tie_word_embeddings": True
    }  # fmt: skip
    drawn = config_of(config).build()
    draw(drawn, 0)
    save_checkpoint(drawn, tmp_path / "dense", max_length=64)
    write_gguf(tmp_path / "m.gguf", load_file(tmp_path / "dense/model.safetensors"), config, kind=kind)
    model = load_checkpoint(str(tmp_path / "m.gguf")).model
    matrices = [weight for weight in model.parameters() if weight.ndim == 2]
    monkeypatch.setattr(few_rows, "LARGE", 1)
    prompt = torch.randint(0, 37, (1, 9))
    told = generate(model, prompt, 12)
    if kind == "F16":
        assert all(attached(weight) is None for weight in matrices)
        return
    for weight in matrices:
        assert torch.equal(attached(weight).unfolded(), weight)
    with monkeypatch.context() as patch:
        patch.setattr(few_rows, "attached", lambda weight: None)
        assert torch.equal(generate(model, prompt, 12), told)
    calls = []
    kernel = kernels.block_rows
    monkeypatch.setattr(kernels, "block_rows", lambda *given: calls.append(1) or kernel(*given))
    generate(model, prompt, 3)
    assert len(calls) == 2 * len(matrices) + 1  # two steps; of the prompt's 9 tokens the last alone asks for logits
    assert load_checkpoint(str(tmp_path / "m.gguf"), torch.bfloat16).model.embedding.weight.dtype == torch.bfloat16


def test_gguf_files_that_are_refused(tmp_path):
    config, weights = json.loads((TINY / "config.json").read_text()), load_file(TINY / "model.safetensors")
    write_gguf(tmp_path / "other.gguf", weights, config, architecture="gemma")
    with pytest.raises(InputError, match="architecture 'gemma'"):
        open_checkpoint(str(tmp_path / "other.gguf"))
    write_gguf(tmp_path / "more.gguf", weights, config, extra=["blk.0.attn_q.bias"])
    with pytest.raises(InputError, match=r"has the tensor 'blk\.0\.attn_q\.bias'"):
        open_checkpoint(str(tmp_path / "more.gguf"))
    write_gguf(tmp_path / "freqs.gguf", weights, config, extra=["rope_freqs.weight"])
    with pytest.raises(InputError, match="rewritten frequencies"):
        open_checkpoint(str(tmp_path / "freqs.gguf"))
    for kept in (100, -1000):
        (tmp_path / "cut.gguf").write_bytes((tmp_path / "more.gguf").read_bytes()[:kept])
        with pytest.raises(InputError, match="cannot be read as GGUF"):
            open_checkpoint(str(tmp_path / "cut.gguf"))
    write_gguf(tmp_path / "words.gguf", weights, config, left_out=["tokens"])
    with pytest.raises(InputError, match=r"does not say tokenizer\.ggml\.tokens"):
        open_checkpoint(str(tmp_path / "words.gguf"))
    write_gguf(tmp_path / "part.gguf", weights, config, facts={"llama.attention.key_length": 12})
    with pytest.raises(InputError, match="rotates 10 of the 12 numbers of each head"):
        open_checkpoint(str(tmp_path / "part.gguf"))
    short = weights | {"model.layers.0.self_attn.q_proj.weight": torch.zeros(48, 24)}
    write_gguf(tmp_path / "short.gguf", short, config)
    with pytest.raises(InputError, match=r"q_proj\.weight has shape \(48, 24\), the config asks for \(40, 24\)"):
        load_checkpoint(str(tmp_path / "short.gguf"))


def test_a_quantisation_that_is_not_known(tmp_path, monkeypatch):
    gguf = pytest.importorskip("gguf")
    config = json.loads((TINY / "config.json").read_text())
    write_gguf(tmp_path / "m.gguf", load_file(TINY / "model.safetensors"), config)

    def unknown(data, kind):
        raise NotImplementedError("not yet")

    monkeypatch.setattr(gguf.quants, "dequantize", unknown)
    with pytest.raises(
        InputError, match=r"embed_tokens\.weight is stored as F32, which cannot be read here.*Hugging Face"
    ):
        load_checkpoint(str(tmp_path / "m.gguf"))


def test_tokens_around_a_text(tiny, tmp_path):
    pytest.importorskip("gguf")
    config, weights = json.loads((TINY / "config.json").read_text()), load_file(TINY / "model.safetensors")
    for asked, expected in ((1, (5,)), (0, ())):
        facts = {"tokenizer.ggml.bos_token_id": 5, "tokenizer.ggml.eos_token_id": 7}
        write_gguf(tmp_path / "m.gguf", weights, config, facts=facts | {"tokenizer.ggml.add_bos_token": asked})
        found = open_checkpoint(str(tmp_path / "m.gguf"))
        assert (found.begin_tokens, found.end_tokens) == (expected, (7,))
    assert open_checkpoint(str(tiny)).begin_tokens is None
    (tiny / "generation_config.json").write_text('{"eos_token_id": [3, 4], "bos_token_id": 6}')
    (tiny / "tokenizer_config.json").write_text('{"add_bos_token": true}')
    found = open_checkpoint(str(tiny))
    assert (found.begin_tokens, found.end_tokens) == ((6,), (3, 4))
    (tiny / "generation_config.json").write_text('{"bos_token_id": null}')
    assert open_checkpoint(str(tiny)).begin_tokens is None, "asked for, but not known: as tokenizer.json says"


def test_transformers_loads_what_is_saved(tmp_path):
    transformers = pytest.importorskip("transformers")
    save_checkpoint(load_checkpoint(str(TINY)).model, tmp_path / "out", max_length=64)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    expected = load_file(TINY / "expected.safetensors")
    with torch.no_grad():
        assert torch.allclose(theirs(expected["tokens"]).logits, expected["logits"], atol=2e-5, rtol=1e-5)


def test_what_goes_with_a_gguf_file(tmp_path):
    """The chat's template and the special tokens, in the words of Hugging Face."""
    pytest.importorskip("gguf")
    config = json.loads((TINY / "config.json").read_text())
    facts = {"tokenizer.chat_template": "{{ messages }}", "tokenizer.ggml.eos_token_id": 2}
    write_gguf(tmp_path / "m.gguf", load_file(TINY / "model.safetensors"), config, facts=facts)
    found = open_checkpoint(str(tmp_path / "m.gguf"))
    told = json.loads(found.beside["tokenizer_config.json"])
    assert told["chat_template"] == "{{ messages }}"
    assert isinstance(told["eos_token"], str)
    assert "pad_token" not in told


def test_types_are_kept_tensor_by_tensor(tmp_path):
    tensors = load_file(TINY / "model.safetensors")
    stored = {name: one.bfloat16() if one.dim() > 1 else one for name, one in tensors.items()}
    shutil.copytree(TINY, tmp_path / "a")
    save_file(stored, tmp_path / "a" / "model.safetensors", metadata={"format": "pt"})
    model, checkpoint = load_checkpoint(str(tmp_path / "a"))
    save_checkpoint(model, tmp_path / "b", 64, like=checkpoint.tensors, beside={"LICENSE": b"mine"})
    again = load_file(tmp_path / "b" / "model.safetensors")
    assert again.keys() == stored.keys()
    assert all(again[name].dtype == one.dtype and torch.equal(again[name], one) for name, one in stored.items())
    assert json.loads((tmp_path / "b" / "config.json").read_text())["dtype"] == "bfloat16"
    assert (tmp_path / "b" / "LICENSE").read_bytes() == b"mine"
