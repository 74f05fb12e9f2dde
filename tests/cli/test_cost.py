"""`paribus cost` of a claim's arm, of folders and of a Hugging Face config.json; what it refuses."""

import json

import pytest

from paribus.core.config import to_dict
from paribus.models.cost import cost
from paribus.models.decoder import DecoderLM

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


def test_a_checkpoint(paribus_command, tmp_path):
    """SmolLM2: 134.5 million parameters, 23,040 bytes of 16 bits a token."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    for where in (tmp_path, tmp_path / "config.json"):
        found = priced(paribus_command, where, "--half", "--length", "8192")
        assert found["parameters"] == 134_515_008
        assert found["cache_bytes_per_token"] == 23_040


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
        (("other.json",), "other.json is a 'bert' model: Llama-type models"),
        (("empty",), "empty holds no model (no model.json, no cell.json, no config.json)"),
        (("rerope", "--plot", "x.txt"), "expected a name that ends in .svg, .png or .pdf"),
    ],
)
def test_what_is_refused(refused, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text('{"model_type": "bert"}')
    (tmp_path / "empty").mkdir()
    assert said in refused("cost", *words)
