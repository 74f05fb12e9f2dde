"""`paribus generate` with a checkpoint as a user meets it: prompts, options, and what is refused."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.latent import Latent
from paribus.layers.feed_forward.experts import MixtureOfExperts
from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.norms.rms_norm import RMSNorm
from paribus.layers.parameters import draw
from paribus.models.checkpoints.open import save_checkpoint
from paribus.models.decoder import DecoderLM
from paribus.positions.pairing.interleaved import Interleaved
from paribus.positions.rotary import Rotary
from paribus.tokenizer.byte_level import byte_letters

pytest.importorskip("tokenizers")

CONFIG = DecoderLM.Config(
    n_layers=2,
    d_model=16,
    vocab_size=264,  # 8 more than there are tokens
    tie_embeddings=False,
    mixer=GroupedQuery.Config(n_heads=4, n_kv_heads=2),
    feed_forward=GatedFeedForward.Config(d_ff=24),
)
END = 256
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
TOKENIZER = {
    "version": "1.0",
    # A file may ask for short texts: no prompt is cut for it.
    "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
    "added_tokens": [
        {"id": END, "content": "<end>", "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    ],
    "normalizer": {"type": "Sequence", "normalizers": []},
    "pre_tokenizer": BYTE_LEVEL,
    "decoder": BYTE_LEVEL,
    "model": {"type": "BPE", "vocab": {letter: byte for byte, letter in enumerate(byte_letters())}, "merges": []},
}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<end>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {"<end>": {"id": "<end>", "ids": [END], "tokens": ["<end>"]}},
}


@pytest.fixture
def folder(tmp_path):
    model = CONFIG.build()
    draw(model, 0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4)  # far from even odds
    save_checkpoint(model, tmp_path / "tiny", 64, tokenizer=json.dumps(TOKENIZER), more={"eos_token_id": END})
    return tmp_path / "tiny"


@pytest.fixture
def written(paribus_command, folder):
    """Runs the command on the tiny model; what it writes, without a word on stderr."""

    def written(*words):
        said = paribus_command("generate", folder, *words)
        assert (said.code, said.err) == (0, ""), said
        return said.out

    return written


def stdin(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def changed(path, **fields):
    """A JSON file with other fields; a field of ... is taken out."""
    told = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in told.items() if value is not ...}))


def test_the_prompt_then_what_follows(written, monkeypatch):
    one = written("--prompt", "aä", "--tokens", "9")
    assert one.startswith("aä")
    assert one.endswith("\n")
    assert written("--prompt", "aä", "--tokens", "9", "--chunk", "1") == one
    for end in (b"", b"\n", b"\r\n"):
        stdin(monkeypatch, "aä".encode() + end)
        assert written("--prompt", "-", "--tokens", "9") == one
    assert written("--tokens", "3").startswith("def ")


def test_several_prompts(written):
    alone = [written("--prompt", text, "--tokens", "7") for text in ("ab", "c")]
    together = written("--prompt", "ab", "--prompt", "c", "--tokens", "7")
    assert together == f"--- 1 of 2 ---\n{alone[0]}--- 2 of 2 ---\n{alone[1]}"
    lines = [
        json.loads(line) for line in written("--prompt", "ab", "--prompt", "c", "--tokens", "7", "--json").splitlines()
    ]
    assert [line["prompt"] + line["text"] + "\n" for line in lines] == alone
    assert {line["finished"] for line in lines} <= {"length", "end"}


def test_seeds_and_stops(written):
    warm = ("--prompt", "x", "--prompt", "x", "--tokens", "30", "--temperature", "1.5", "--json")

    def drawn(*more):
        return [json.loads(line)["text"] for line in written(*warm, *more).splitlines()]

    first, second = drawn("--seed", "3")
    assert first != second, "each place in the list has chance of its own"
    assert drawn("--seed", "3") == [first, second]
    assert drawn("--seed", "4") != [first, second]
    stop = first[5:7]
    assert drawn("--seed", "3", "--stop", stop)[0] == first.split(stop)[0]


def test_a_checkpoint_with_experts(paribus_command, tmp_path):
    """Alone and in a batch, in steps and in chunks: the same texts."""
    experts = MixtureOfExperts.Config(d_ff=8, n_experts=6, n_active=2, n_shared=1, n_groups=3, n_active_groups=2)
    latent = Latent.Config(
        n_heads=2, latent=8, rope_dim=4, latent_norm=RMSNorm.Config(eps=1e-6), position=Rotary(pairing=Interleaved())
    )
    model = replace(CONFIG, mixer=latent, feed_forward=(CONFIG.feed_forward, experts)).build()
    draw(model, 0)
    save_checkpoint(model, tmp_path / "experts", 64, tokenizer=json.dumps(TOKENIZER), more={"eos_token_id": END})
    words = ("generate", tmp_path / "experts", "--tokens", "9")
    alone = [paribus_command(*words, "--prompt", prompt) for prompt in ("def ", "x")]
    assert [(said.code, said.err) for said in alone] == [(0, "")] * 2
    both = paribus_command(*words, "--prompt", "def ", "--prompt", "x", "--json", "--chunk", "1").out.splitlines()
    texts = [json.loads(line) for line in both]
    assert [one["prompt"] + one["text"] + "\n" for one in texts] == [said.out for said in alone]
    assert any(one["text"] for one in texts)


def test_half(written):
    assert written("--half", "--tokens", "3").startswith("def ")


def test_numbers_that_overflow(paribus_command, folder):
    """Weights that are numbers, and hidden numbers that are none: an error, not a text."""
    path = folder / "model.safetensors"
    save_file({name: tensor * 1e37 if "gate" in name else tensor for name, tensor in load_file(path).items()}, path)
    for more in ((), ("--temperature", "0.8"), ("--prompt", "b"), ("--json",)):
        said = paribus_command("generate", folder, "--prompt", "a", "--tokens", "5", *more)
        assert said.code == 1
        assert "new token 1 of prompt 1 cannot be chosen: its logits are NaN, or all minus infinity" in said.err


def test_a_temperature_near_zero_is_the_most_likely_text(written):
    most_likely = written("--prompt", "a", "--tokens", "9")
    for temperature in ("1e-30", "1e-300", "5e-324"):
        assert written("--prompt", "a", "--tokens", "9", "--temperature", temperature) == most_likely


def test_ids_that_stand_for_nothing_are_never_drawn(written, folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["lm_head.weight"][257:] = 100 * weights["lm_head.weight"][:7]
    save_file(weights, path, metadata={"format": "pt"})
    written("--tokens", "40", "--temperature", "5")


def begins(written, folder, monkeypatch):
    """The first ids that the model reads."""
    read = []
    prefill = DecoderLM.prefill

    def spy(self, tokens, *given, **more):
        read.append(tokens)
        return prefill(self, tokens, *given, **more)

    monkeypatch.setattr(DecoderLM, "prefill", spy)
    written("--prompt", "ab", "--tokens", "1")
    return read[0][0].tolist()


def test_the_token_before_every_text(written, folder, monkeypatch):
    assert begins(written, folder, monkeypatch) == [97, 98]
    changed(folder / "tokenizer.json", post_processor=TEMPLATE)
    assert begins(written, folder, monkeypatch) == [END, 97, 98]
    (folder / "tokenizer_config.json").write_text('{"add_bos_token": false}')
    assert begins(written, folder, monkeypatch) == [97, 98]
    changed(folder / "tokenizer.json", post_processor=None)
    changed(folder / "config.json", bos_token_id=5)
    (folder / "tokenizer_config.json").write_text('{"add_bos_token": true}')
    assert begins(written, folder, monkeypatch) == [5, 97, 98]


def test_a_text_beyond_the_length_of_the_model(paribus_command, folder):
    said = paribus_command("generate", folder, "--prompt", "x" * 60, "--tokens", "5")
    assert said.code == 0
    assert "may take 65 tokens, and this model was made for 64" in said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tokens", "0"), "--tokens 0: expected at least 1"),
        (("--device", "tpu"), "--device tpu: expected cpu, cuda or cuda:N"),
        (("--device", "cpu:1"), "--device cpu:1: expected cpu, cuda or cuda:N"),
        (("--chunk", "-3"), "--chunk -3: expected at least 1"),
        (("--stop", ""), '--stop "" would stop everything'),
        (("--prompt", ""), "the prompt is empty"),
        (("--prompt", "a\udcff"), "the prompt is no UTF-8 text"),
        (("--prompt", "-", "--prompt", "-"), "stdin can be one prompt only"),
        (("--temperature=-1",), "--temperature -1: expected a positive number"),
        (("--temperature", "nan"), "--temperature nan: expected a positive number"),
        (("--temperature", "1", "--top-k", "0"), "--top-k: k = 0: expected at least 1 token"),
        (("--temperature", "1", "--top-p", "1.5"), "--top-p: p = 1.5: expected a probability"),
        (("--temperature", "1", "--min-p", "0"), "--min-p: p = 0.0"),
        (("--top-p", "0.9"), "--top-p changes nothing at --temperature 0: give a temperature such as 0.8"),
        (("--no-repeat", "0"), "--no-repeat: n = 0"),
        (("--repetition-penalty", "0"), "--repetition-penalty: penalty = 0.0"),
    ],
)
def test_options_that_are_refused(refused, folder, words, told):
    assert told in refused("generate", folder, *words)


def test_bytes_on_stdin_that_are_no_text(refused, folder, monkeypatch):
    stdin(monkeypatch, b"a\xff")
    assert "no UTF-8 text" in refused("generate", folder, "--prompt", "-")


def test_an_interruption_ends_the_line(paribus_command, folder, monkeypatch):
    def interrupted(*given, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(DecoderLM, "prefill", interrupted)
    said = paribus_command("generate", folder, "--prompt", "ab", "--tokens", "3")
    assert said == (130, "ab\n", "paribus: stopped; what was written stands above\n")


def config(**fields):
    return lambda folder: changed(folder / "config.json", **fields)


def tensors(change):
    def act(folder):
        stored = load_file(folder / "model.safetensors")
        change(stored)
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})

    return act


QUERY = "model.layers.1.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            config(num_attention_heads=3, num_key_value_heads=3, head_dim=None),
            r"d_model (16) must be divisible by n_heads (3), or give head_dim",
        ),
        (
            config(num_attention_heads=3, num_key_value_heads=3, head_dim=None),
            "(in config.json d_model is hidden_size, n_heads is num_attention_heads)",
        ),
        (config(num_key_value_heads=3), "n_heads (4) must be divisible by n_kv_heads (3)"),
        (config(hidden_size=...), "config.json lacks 'hidden_size'"),
        (config(hidden_size="16"), "config.json has hidden_size = '16': expected a whole number, 1 or more"),
        (config(num_hidden_layers=0), "num_hidden_layers = 0: expected a whole number, 1 or more"),
        (config(model_type="mamba"), "is a 'mamba' model: llama, mistral, deepseek_v2 can be read here"),
        (config(model_type=...), "is a 'None' model"),
        (config(rope_parameters="x"), "rope_parameters = 'x': expected an object or null"),
        (config(rope_parameters={"rope_theta": "high"}), "rope_theta = 'high' for its rotation: expected a number"),
        (config(rms_norm_eps="small"), "eps = 'small'"),
        (config(eos_token_id="<end>"), "eos_token_id = '<end>': expected a token's number"),
        (config(quantization_config={"quant_method": "gptq"}), "has quantised weights (gptq), which are not read here"),
        (tensors(lambda all: all.pop(QUERY)), f"this decoder needs {QUERY}: the weights are of another model"),
        (tensors(lambda all: all.update(extra=torch.zeros(2))), "this decoder does not know extra"),
        (
            tensors(lambda all: all.update({QUERY: torch.zeros(3, 16)})),
            f"{QUERY} has shape (3, 16), the config asks for (16, 16)",
        ),
        (
            tensors(lambda all: all.update({QUERY: torch.zeros(16, 16, dtype=torch.int8)})),
            f"{QUERY} is stored as int8, expected float32, bfloat16, float16, float64: quantised weights are not read",
        ),
        (
            tensors(lambda all: all[QUERY].fill_(torch.nan)),
            f"{QUERY} holds numbers that are not finite as float32: the file is damaged or its training has diverged",
        ),
        (lambda folder: (folder / "tokenizer.json").unlink(), "put the tokenizer.json of the model into that folder"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer.json is damaged"),
        (lambda folder: (folder / "tokenizer.json").write_text("[]"), "tokenizer.json holds no JSON object"),
        (
            lambda folder: changed(folder / "tokenizer.json", model={"type": "BPE", "vocab": 3, "merges": []}),
            "tokenizer.json cannot be read",
        ),
        (
            lambda folder: changed(folder / "tokenizer.json", model={"type": "Unigram"}),
            "the checkpoint's tokenizer is Unigram with the decoder ByteLevel: only byte-level BPE can be read here",
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text("{}"),
            "model.safetensors.index.json has no weight_map",
        ),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff"), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is no JSON"),
        (lambda folder: (folder / "config.json").unlink(), "holds no model"),
        (lambda folder: (folder / "model.safetensors").unlink(), "it has no weights"),
    ],
)
def test_folders_that_are_refused(paribus_command, folder, damage, told):
    damage(folder)
    said = paribus_command("generate", folder)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("paribus: ")
    assert said.err.count("\n") == 1
    assert told in said.err


def test_words_that_are_no_model(refused, folder):
    assert "there is no file or folder 'smollm'" in refused("generate", "smollm")
    assert "did you mean smollm2?" in refused("generate", "smollm")
    assert "there is no file or folder 'none.gguf'" in refused("generate", "none.gguf")
    assert "is a file: give a .gguf file, or the folder" in refused("generate", folder / "config.json")
    Path("text.gguf").write_text("once upon a time")
    assert "text.gguf cannot be read as GGUF" in refused("generate", "text.gguf")
