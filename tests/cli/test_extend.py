"""`paribus extend` on a tiny checkpoint with a byte tokenizer."""

import json
from io import StringIO

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from paribus.attention.grouped_query import GroupedQuery
from paribus.cli.extend_view import measured
from paribus.context_extension.evaluate import Depths
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


def test_a_mixture_with_the_cut_text(paribus_command, tiny, tmp_path):
    (tmp_path / "text.txt").write_bytes(bytes(torch.randint(32, 127, (2000,)).tolist()))
    words = ("extend", tiny, "--to", "256", "--method", "pi", "--last", "16", "--mix")
    said = paribus_command(*words, "--evaluate", "text.txt", "--json")
    assert said.code == 0, said.err
    found = {(one["kind"], one["reader"]): one for one in json.loads(said.out)["curves"]}
    assert ("distance", "mixed with the cut text") not in found
    plain, long, mixed = (found["context", name]["loss"] for name in ("plain", "pi", "mixed with the cut text"))
    assert mixed[1] <= (plain[1] + long[1]) / 2  # at the trained length both read all of it
    assert "mixed with the cut text: text 1 of 1, context 256" in said.err
    assert mixed[2] <= (plain[1] + long[2]) / 2 + 1e-6  # beyond it the cut text is what plain reads at that length
    alone = paribus_command(*words)
    assert alone.code == 2
    assert "--mix without --evaluate" in alone.err


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
    last = ("--last", "16", "--mix")
    said = paribus_command("extend", tiny, "--to", "256", "--method", "pi", "--evaluate", "text.txt", *last)
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
        (("--to", "256", "--method", "pi", "--plot", "nodir/p.svg"), "--plot nodir/p.svg: there is no folder nodir"),
        (("--to", "256", "--method", "pi", "--out", "tiny"), "--out tiny: the checkpoint itself is there, and stays"),
        (("--to", "256", "--method", "pi", "--out", "x/../tiny/."), "the checkpoint itself is there, and stays"),
        (("--to", "256", "--method", "pi", "--out", "tiny/config.json"), "--out tiny/config.json is a file: choose"),
        (("--to", "256", "--method", "pi", "--out", "tiny/config.json/x"), "cannot write in"),
        (("--to", "256", "--method", "pi", "--out", "full"), "--out full is not empty: choose a new folder"),
        (("--to", "256", "--method", "pi", "--set", "factor=inf"), "--set factor=inf: expected a finite number"),
        (("--to", "256", "--method", "pi", "--set", "factor=nan"), "--set factor=nan: expected a finite number"),
        (
            ("--to", "256", "--method", "rerope", "--set", "yarn.factor=3"),
            "--set yarn.factor: --method rerope takes",
        ),
        (("--to", "256", "--method", "rerope", "--set", "factor=3"), "--set factor: --method rerope takes no"),
        (("--to", "256", "--method", "pi", "--window", "5"), "--window 5: --method pi has no window"),
        (("--to", "256", "--method", "longrope", "--set", "factors=1,2,3"), "LongRoPE was made for heads of 6"),
        (("--to", "256", "--method", "longrope"), "longrope needs factors"),
        (("--to", "256", "--explain", "--method", "pi"), "--method with --explain"),
        (("--to", "256", "--explain", "--out", "long"), "--out with --explain"),
        (("--to", "256", "--explain", "--plot", "p.svg"), "--plot with --explain"),
    ],
)
def test_what_is_refused(monkeypatch, refused, tiny, tmp_path, words, told):
    """And before anything is measured."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    before = {path.name: path.read_bytes() for path in (tmp_path / "tiny").iterdir()}
    monkeypatch.setattr("paribus.context_extension.evaluate.probe", lambda *given: pytest.fail("it was measured"))
    assert told in refused("extend", tiny, *words)
    assert {path.name: path.read_bytes() for path in (tmp_path / "tiny").iterdir()} == before


def test_what_goes_with_a_checkpoint_goes_along(paribus_command, tiny, tmp_path):
    source, out = tmp_path / "tiny", tmp_path / "long"
    tensors = load_file(source / "model.safetensors")
    halves = {name: one.to(torch.bfloat16) if one.dim() > 1 else one for name, one in tensors.items()}
    save_file(halves, source / "model.safetensors", metadata={"format": "pt"})
    template = "{% for one in messages %}<{{ one['role'] }}>{{ one['content'] }}{% endfor %}"
    (source / "tokenizer_config.json").write_text(json.dumps({"chat_template": template, "model_max_length": 64}))
    (source / "generation_config.json").write_text('{"eos_token_id": [3, 7]}')
    (source / "modeling_own.py").write_text("raise SystemExit")
    (source / "training_args.bin").write_bytes(b"a pickle")
    said = paribus_command("extend", "tiny", "--to", "256", "--method", "yarn", "--out", "long")
    assert said.code == 0, said.err
    assert {path.name for path in out.iterdir()} == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"),
    }
    assert json.loads((out / "tokenizer_config.json").read_text()) == {
        "chat_template": template,
        "model_max_length": 256,
    }
    assert load_checkpoint(str(out)).checkpoint.end_tokens == (3, 7)
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    saved = load_file(out / "model.safetensors")
    assert all(torch.equal(saved[name], one) and saved[name].dtype == one.dtype for name, one in halves.items())


def test_what_is_saved_is_not_lost_with_the_picture(monkeypatch, paribus_command, tiny, tmp_path):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("paribus.cli.extend_view.draw", full)
    said = paribus_command("extend", tiny, "--to", "256", "--method", "pi", "--out", "long", "--plot", "p.svg")
    assert said.code == 1
    assert (tmp_path / "long" / "config.json").is_file()


def test_tables_of_retrieval_fit_into_a_terminal():
    console = Console(width=80, record=True, file=StringIO())
    losses = (0.123, 1.5, 2.5, 3.5, 12.25)
    rows = [
        Depths(reader, kind, 16384, (0.0, 0.25, 0.5, 0.75, 1.0), (True, False, True, False, True), losses)
        for reader in ("plain", "leaky-rerope+log-length")
        for kind in ("pass key", "needle")
    ]
    measured([], rows, 8192, 16384, [], console)
    told = console.export_text()
    assert told.count("leaky-rerope+log-length") == 2
    assert "pass key found at 16384 tokens" in told
    assert "no (1.50)" in told
    assert "yes (12.25)" in told


def test_a_length_far_away(paribus_command, tiny):
    said = paribus_command("extend", tiny, "--to", "100000000000", "--explain")
    assert said.code == 0, said.err
    assert "trained at 64, asked for 100000000000" in said.out


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
