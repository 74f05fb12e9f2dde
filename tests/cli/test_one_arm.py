"""`paribus train`, `evaluate` and `generate`: one arm from text to text."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

CLAIM = """
import os, signal
from dataclasses import replace
from pathlib import Path
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm
from paribus.lab.load import load
from paribus.normalizers.base import Normalizer
from paribus.normalizers.softmax import Softmax
from paribus.text.corpora.folder import Folder

class Mine(Normalizer):
    source = "a test"
    def __call__(self, scores, mask=None):
        if Path("die").exists() and Path("model/progress.safetensors").exists():
            Path("die").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if Path("stop").exists() and Path("model/progress.safetensors").exists():
            Path("stop").unlink()
            raise KeyboardInterrupt
        return Softmax()(scores, mask)

tiny = load({tiny!r})[1]
rotary, none = (replace(arm.config, vocab_size=256) for arm in tiny.arms)
claim = replace(
    tiny,
    arms=[
        Arm("rotary", rotary),
        Arm("none", none),
        Arm("narrow", rotary.with_d_ff(8)),
        Arm("mine", rotary.with_mixer(normalizer=Mine())),
        Arm("reader", none, reads="rotary"),
    ],
    task=replace(tiny.task, data=Text(corpus=Folder(path="texts"))),
)
"""
QUICK = ("--tokens", "480", "--threads", "1")


@pytest.fixture
def file(tiny, tmp_path, monkeypatch, paribus_command):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("texts").mkdir()
    for i in range(80):
        Path(f"texts/{i}.txt").write_text("".join(f"{i} und {k} ergibt wohl {i + k}, ähnlich\n" for k in range(20)))
    Path("my_arms.py").write_text(CLAIM.format(tiny=tiny))
    return "my_arms.py"


@pytest.fixture
def model(paribus_command, file):
    said = paribus_command("train", file, *QUICK, "--out", "model")
    assert said.code == 0, said.err
    return "model"


def test_train_then_evaluate_then_generate(paribus_command, model):
    described = json.loads(Path("model/model.json").read_text())
    assert described["schema"] == "paribus.model/1"
    assert described["origin"]["arm"] == "rotary"
    assert described["origin"]["steps"] == 20
    values = json.loads(
        paribus_command("evaluate", model, "--at", "8,16", "--last", "8", "--windows", "9", "--json").out
    )
    assert values.keys() == {"loss@8", "loss@16", "accuracy@8", "accuracy@16"}
    assert 0 < values["loss@16"] < 10
    table = paribus_command(
        "evaluate", model, "--at", "16", "--last", "8", "--windows", "9", "--split", "dev", "--device", "cpu"
    )
    assert "16" in table.out
    first = paribus_command("generate", model, "--prompt", "7 und ä", "--tokens", "12")
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith("7 und ä")
    assert first.out.endswith("\n")
    assert paribus_command("generate", model, "--prompt", "7 und ä", "--tokens", "12").out == first.out
    warm = [
        paribus_command("generate", model, "--tokens", "40", "--temperature", "1.5", "--seed", seed).out
        for seed in (1, 1, 2)
    ]
    assert warm[0] == warm[1] != warm[2]


def test_training_is_repeated_bit_by_bit(paribus_command, file, model):
    before = Path("model/weights.safetensors").read_bytes()
    assert paribus_command("train", file, *QUICK, "--out", "again").code == 0
    assert Path("again/weights.safetensors").read_bytes() == before
    assert paribus_command("train", file, *QUICK, "--seed", "1", "--out", "again").code == 0
    assert Path("again/weights.safetensors").read_bytes() != before


def test_an_arm_is_trained_at_its_matched_width(paribus_command, file):
    assert paribus_command("train", file, "--arm", "narrow", *QUICK, "--out", "model").code == 0
    assert json.loads(Path("model/model.json").read_text())["model"]["feed_forward"]["d_ff"] == 32


def test_another_corpus(paribus_command, file, model):
    Path("other").mkdir()
    for i in range(80):
        Path(f"other/{i}.txt").write_text(f"something else entirely, {i} times\n" * 9)
    asked = ("evaluate", model, "--at", "16", "--last", "8", "--windows", "9", "--json")
    own, other = (json.loads(paribus_command(*asked, *more).out) for more in ((), ("--corpus", "other")))
    assert own != other
    told = paribus_command("train", file, *QUICK, "--corpus", "other", "--out", "else")
    assert told.code == 0
    assert json.loads(Path("else/model.json").read_text())["data"]["corpus"]["path"] == "other"


def test_a_cell_of_a_run_is_a_model(paribus_command, file):
    said = paribus_command("compare", file, "--profile", "smoke", "--json")
    verdict = json.loads(said.out)
    for cell in verdict["cells"]:
        place = next(Path("paribus-runs").glob(f"*/cells/{cell['digest']}"))
        said = paribus_command("generate", place, "--tokens", "3")
        if cell["kind"] == "train":
            assert said.code == 0, said.err
        else:
            assert "it is not a finished training" in said.err


def test_a_part_of_the_users_own(paribus_command, file):
    assert paribus_command("train", file, "--arm", "mine", *QUICK, "--out", "model").code == 0
    said = paribus_command("generate", "model", "--tokens", "3", "--code", file)
    assert said.code == 0, said.err


MINE = ("--arm", "mine", *QUICK, "--checkpoint-every", "0")
LEFT = {"model.json", "weights.safetensors"}


def test_a_training_that_is_killed_goes_on_by_the_same_command(paribus_command, file):
    """To the bits of one that was left alone; another training is refused while its state lies there."""
    assert paribus_command("train", file, *MINE, "--out", "whole").code == 0
    Path("die").touch()
    words = ["train", file, *MINE, "--out", "model"]
    main = f"import sys; sys.argv = ['paribus', *{words!r}]; from paribus.cli.main import main; main()"
    killed = subprocess.run([sys.executable, "-c", main], check=False, capture_output=True, env=os.environ)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not Path("model/model.json").exists()
    Path("model/.tmpGONE").write_text("half a state, of a process that was killed as it wrote it")
    other = paribus_command("train", file, *MINE, "--seed", "1", "--out", "model")
    assert other.code == 2
    assert "holds an unfinished training that differs in replicate: finish it by its own command" in other.err
    said = paribus_command("train", file, *MINE, "--out", "model")
    assert said.code == 0, said.err
    assert "goes on from step" in said.out
    assert Path("model/weights.safetensors").read_bytes() == Path("whole/weights.safetensors").read_bytes()
    assert {path.name for path in Path("model").iterdir()} == LEFT
    assert "goes on" not in paribus_command("train", file, *MINE, "--seed", "1", "--out", "model").out


def test_a_training_that_is_interrupted_goes_on(paribus_command, file):
    Path("stop").touch()
    said = paribus_command("train", file, *MINE, "--out", "model")
    assert said.code == 130
    assert "interrupted: the same command goes on from its last checkpoint" in said.err
    Path("model/training.json").write_text("{")
    said = paribus_command("train", file, *MINE, "--out", "model")
    assert said.code == 2
    assert "training.json is damaged" in said.err
    Path("model/progress.safetensors").unlink()
    said = paribus_command("train", file, *MINE, "--out", "model")
    assert said.code == 0, said.err
    assert "goes on" not in said.out
    assert {path.name for path in Path("model").iterdir()} == LEFT


def test_two_trainings_in_one_folder(refused, paribus_command, file):
    Path("model").mkdir()
    with FileLock("model/.lock"):
        said = paribus_command("train", file, *QUICK, "--out", "model")
    assert said.code == 2
    assert "another training is at work in model" in said.err


def test_which_program_computed_attention_is_told(paribus_command, file):
    said = paribus_command("train", file, "--arm", "mine", *QUICK, "--out", "model")
    shape = "batch 2, heads 2 / 2, length to 16, width 8 / 8, float32, threads 1"
    assert f"attention, {shape}: dense: the fused kernel knows softmax only, not Mine" in said.out


def test_a_module_of_the_users_own_starts_from_its_seed(paribus_command, tiny):
    Path("own.py").write_text(
        "from dataclasses import replace\nfrom torch import nn\nfrom paribus.lab.load import load\n"
        "from paribus.lab.claim import Arm\nfrom paribus.models.any_module import AnyModule\n"
        "def net():\n    return nn.Sequential(nn.Embedding(8, 8), nn.Linear(8, 8))\n"
        f"tiny = load({tiny!r})[1]\n"
        "claim = replace(tiny, arms=[Arm('rotary', AnyModule.Config(make=net)), tiny.arms[1]],\n"
        "                task=replace(tiny.task, match='none'))\n"
    )
    for out, seed in (("one", 0), ("same", 0), ("other", 1)):
        assert paribus_command("train", "own.py", *QUICK, "--seed", seed, "--out", out).code == 0
    one, same, other = (Path(f"{out}/weights.safetensors").read_bytes() for out in ("one", "same", "other"))
    assert one == same != other


def test_a_loss_that_is_not_finite(paribus_command, file):
    said = paribus_command("train", file, "--learning-rate", "1e30", *QUICK, "--out", "model")
    assert said.code == 2
    assert "the loss was not finite at step" in said.err
    assert "nothing is saved" in said.err
    assert list(Path("model").iterdir()) == []


def test_what_cannot_be_trained(refused, file, tiny):
    assert "did you mean rotary?" in refused("train", file, "--arm", "rotray")
    assert "no arm 'reader' is trained from scratch" in refused("train", file, "--arm", "reader")
    assert "--tokens 0" in refused("train", file, "--tokens", "0")
    assert "--threads 0" in refused("train", file, "--threads", "0")
    assert "--device tpu: expected cpu, cuda or cuda:N" in refused("train", file, "--device", "tpu")
    assert "--checkpoint-every -1" in refused("train", file, "--checkpoint-every=-1")
    for rate in ("0", "-1", "inf", "nan"):
        assert "expected a positive number" in refused("train", file, "--learning-rate", rate)
    assert "trained on Copy, not on text" in refused("train", tiny, "--corpus", "texts")
    assert "it has smoke, laptop, tuned, long" in refused("train", file, "--profile", "hour", "--out", "x")
    assert "holds other files" in refused("train", file, "--out", "texts")
    assert "choose another folder with --out" in refused("train", file, "--out", "my_arms.py")


def test_what_cannot_be_read(refused, paribus_command, model, tiny):
    assert "holds no model" in refused("generate", "texts")
    assert "the prompt is empty" in refused("generate", model, "--prompt", "")
    assert "expected at least 1" in refused("generate", model, "--tokens", "0")
    assert "expected a positive number" in refused("generate", model, "--temperature=-1")
    assert "expected lengths such as" in refused("evaluate", model, "--at", "8,many")
    assert "expected dev or test" in refused("evaluate", model, "--split", "train")
    assert "--device tpu: expected cpu, cuda or cuda:N" in refused("evaluate", model, "--device", "tpu")
    assert "windows = 0" in refused("evaluate", model, "--at", "8", "--last", "8", "--windows", "0")
    assert "last = 9" in refused("evaluate", model, "--at", "8", "--last", "9")
    assert "python-docs" in refused("evaluate", model, "--at", "8", "--last", "8", "--corpus", "python-doc")
    assert "there is no file mine.py" in refused("generate", model, "--code", "mine.py")
    assert paribus_command("train", tiny, *QUICK, "--out", "copies").code == 0
    assert "tokens are not text" in refused("generate", "copies")
    assert "trained on Copy, not on text" in refused("evaluate", "copies", "--corpus", "texts")
    Path("model/weights.safetensors").write_bytes(b"x")
    assert "cannot be read as weights" in refused("generate", model)


def test_a_measured_claim_trains_nothing(refused, tiny):
    Path("timing.py").write_text(
        "from dataclasses import replace\nfrom paribus.lab.claim import Measured, Profile\n"
        f"from paribus.lab.load import load\ntiny = load({tiny!r})[1]\n"
        "def measure(config, replicate):\n    return {'loss@12': 1.0}\n"
        "claim = replace(tiny, task=Measured(measure=measure, unit='draw', units={'loss@12': 's'}),\n"
        "                profiles={'laptop': Profile(seeds=(0,))})\n"
    )
    assert "is a measured claim: nothing in it is trained" in refused("train", "timing.py")


def test_an_arm_on_a_bytepiece_vocabulary(paribus_command, file, tmp_path):
    said = paribus_command("train", file, *QUICK, "--tokenizer", "bytepiece", "--out", "pieces")
    assert said.code == 0, said.err
    described = json.loads(Path("pieces/model.json").read_text())
    assert described["data"]["tokenizer"]["part"] == "BytePiece"
    assert described["model"]["vocab_size"] == 1022
    said = paribus_command("evaluate", "pieces", "--at", "12", "--last", "6", "--windows", "4", "--json")
    assert said.code == 0, said.err
    for word, told in (("bpe", "expected bytepiece, or a .bp file"), ("none.bp", "cannot be opened")):
        said = paribus_command("train", file, *QUICK, "--tokenizer", word, "--out", "other")
        assert said.code == 2
        assert told in said.err
