"""`paribus extend` on a tiny checkpoint with a byte tokenizer."""

import json

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.parameters import draw
from paribus.models.checkpoints.open import load_checkpoint, save_checkpoint
from paribus.models.decoder import DecoderLM
from paribus.positions.rotary import Rotary
from paribus.tokenizer.byte_level import byte_letters


def tokenizer():
    cut = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    vocab = {letter: i for i, letter in enumerate(byte_letters())}
    model = {"type": "BPE", "vocab": vocab, "merges": []}
    told = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": cut, "decoder": cut}
    return json.dumps(told | {"model": model})


@pytest.fixture
def tiny(tmp_path):
    config = DecoderLM.Config(
        n_layers=1,
        d_model=16,
        mixer=GroupedQuery.Config(n_heads=2, position=Rotary(base=500.0)),
        feed_forward=GatedFeedForward.Config(d_ff=16),
    )
    model = config.build()
    draw(model, 0)
    save_checkpoint(model, tmp_path / "tiny", max_length=64, tokenizer=tokenizer())
    return "tiny"


def test_what_the_methods_would_do(paribus_command, tiny):
    said = paribus_command("extend", tiny, "--to", "256", "--explain")
    assert said.code == 0, said.err
    assert "trained at 64, asked for 256" in said.out
    assert "yarn: YaRN(factor=4.0, train_length=64)" in said.out
    told = json.loads(paribus_command("extend", tiny, "--to", "256", "--explain", "--json").out)
    effects = {effect["name"]: effect for effect in told["effects"]}
    assert {"plain", "rerope", "yarn", "ntk-aware"} <= effects.keys()
    assert effects["log-length"]["score_factor"] == pytest.approx(8 / 6)  # ln 256 / ln 64


def test_a_rewrite_is_measured_drawn_and_saved(paribus_command, tiny, tmp_path):
    said = paribus_command(
        "extend", tiny, "--to", "256", "--method", "yarn", "--set", "temperature=0", "--plot", "p.svg", "--out", "long"
    )
    assert said.code == 0, said.err
    assert "distance probe" in said.out
    assert "extension tax" in said.out
    assert (tmp_path / "p.svg").read_text().startswith("<?xml")
    config = json.loads((tmp_path / "long" / "config.json").read_text())
    assert config["max_position_embeddings"] == 256
    assert config["rope_parameters"]["attention_factor"] == 1.0
    assert load_checkpoint(str(tmp_path / "long")).model.config.mixer.position.scaling.factor == 4.0


def test_texts_of_the_user_are_read_at_full_length(paribus_command, tiny, tmp_path):
    (tmp_path / "text.txt").write_bytes(bytes(torch.randint(32, 127, (2000,)).tolist()))
    options = ("--method", "rerope", "--window", "8", "--evaluate", "text.txt", "--last", "16", "--json")
    said = paribus_command("extend", tiny, "--to", "256", *options)
    assert said.code == 0, said.err
    told = json.loads(said.out)
    kinds = {(curve["kind"], curve["reader"]): curve["at"] for curve in told["curves"]}
    assert kinds["context", "rerope"] == [16, 64, 256]
    assert [(row["kind"], row["reader"]) for row in told["depths"]] == [
        ("pass key", "plain"),
        ("needle", "plain"),
        ("pass key", "rerope"),
        ("needle", "rerope"),
    ]


def test_the_token_before_every_text(monkeypatch, paribus_command, tiny, tmp_path):
    (tmp_path / "text.txt").write_bytes(b"abc " * 100)
    config = tmp_path / "tiny" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"bos_token_id": 5}))
    (tmp_path / "tiny" / "tokenizer_config.json").write_text('{"add_bos_token": true}')
    read, forward = [], DecoderLM.forward

    def spy(self, tokens, *given, **more):
        read.append(tokens[0].tolist())
        return forward(self, tokens, *given, **more)

    monkeypatch.setattr(DecoderLM, "forward", spy)
    said = paribus_command("extend", tiny, "--to", "256", "--method", "pi", "--evaluate", "text.txt", "--last", "16")
    assert said.code == 0, said.err
    assert {tokens[0] for tokens in read} == {5}
    assert {17, 64, 256} <= {len(tokens) for tokens in read}


def test_a_map_of_distances_cannot_be_saved(paribus_command, tiny, tmp_path):
    said = paribus_command("extend", tiny, "--to", "256", "--method", "rerope", "--out", "long")
    assert said.code == 2
    assert "ReRoPE maps distances, which no config.json can say" in said.err
    assert not (tmp_path / "long").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--to", "256"), "no --method is given: --explain compares them"),
        (("--to", "64", "--method", "rerope"), "--to 64: the model was trained at 64"),
        (("--to", "256", "--method", "reroe"), "no method 'reroe'; did you mean rerope"),
        (("--to", "256", "--method", "rerope", "--window", "65"), "--window 65: expected 1 to 64"),
        (("--to", "256", "--method", "rerope", "--set", "window=65"), "its window is longer than the 64 tokens"),
        (("--to", "256", "--method", "pi", "--set", "factor"), "--set factor: expected NAME=NUMBER"),
        (("--to", "256", "--method", "pi", "--set", "factr=2"), "no method has a 'factr'; did you mean factor"),
        (("--to", "256", "--method", "pi", "--set", "pi.window=2"), "position-interpolation has no 'window'"),
        (("--to", "256", "--method", "pi", "--set", "yran.factor=2"), "no method 'yran'; did you mean yarn"),
        (("--to", "256", "--method", "yarn+log-length", "--out", "long"), "LogLength(base=64.0, at_least_one=True)"),
        (("--to", "256", "--method", "dynamic-ntk", "--out", "long"), "DynamicNTK changes frequencies with the length"),
        (("--to", "256", "--method", "pi", "--set", "factor=0.5"), "factor = 0.5"),
        (("--to", "256", "--method", "pi", "--plot", "p.gif"), "expected a name that ends in"),
    ],
)
def test_what_is_refused(refused, tiny, words, told):
    assert told in refused("extend", tiny, *words)


def test_a_text_shorter_than_the_asked_length(paribus_command, tiny, tmp_path):
    """It is refused before anything is read."""
    (tmp_path / "mid.txt").write_bytes(b"x" * 256)
    (tmp_path / "long.txt").write_bytes(b"x" * 257)
    words = ("extend", tiny, "--to", "256", "--method", "pi", "--last", "16", "--evaluate")
    said = paribus_command(*words, "long.txt", "--evaluate", "mid.txt")
    assert said.code == 2
    assert "a text has 256 tokens, contexts up to 256 need 257" in said.err
    assert "distance probe" not in said.out
    for last in ("0", "256"):
        said = paribus_command(*words, "long.txt", "--last", last)
        assert f"--last {last}: expected 1 to 255 final tokens" in said.err


def test_a_length_that_memory_has_no_room_for(monkeypatch, paribus_command, tiny, tmp_path):
    (tmp_path / "text.txt").write_bytes(b"x" * 300)
    monkeypatch.setattr("paribus.lab.room.free_memory", lambda: (2**10, "on this machine"))
    said = paribus_command("extend", tiny, "--to", "256", "--method", "pi", "--last", "16", "--evaluate", "text.txt")
    assert said.code == 2
    assert "reading 256 tokens at once takes about 0.0 GiB beside the weights, 0.0 GiB are free" in said.err


def test_a_text_that_is_too_short(paribus_command, tiny, tmp_path):
    (tmp_path / "short.txt").write_text("too short")
    said = paribus_command("extend", tiny, "--to", "256", "--method", "pi", "--evaluate", "short.txt")
    assert said.code == 2
    assert "a text has 9 tokens, contexts up to 256 need 257" in said.err
