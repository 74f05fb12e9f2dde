"""A model, a task and a metric in the user's own files: from the command line to a verdict, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TASK = '''
"""A task and a metric of the user's own."""

import numpy as np
import torch

from paribus.data.batch import IGNORED
from paribus.data.synthetic.base import Synthetic
from paribus.evaluation.base import Metric


class Reverse(Synthetic):
    """The first half again, backwards."""

    source = "my own"
    vocab_size: int = 8

    @property
    def chance(self):
        return 1 / self.vocab_size

    def check_length(self, length):
        pass

    def draw(self, random, batch, length):
        half = length // 2
        said = random.integers(self.vocab_size, size=(batch, half))
        tokens = np.concatenate([said, said[:, ::-1]], axis=1)
        targets = np.full((batch, 2 * half), IGNORED)
        targets[:, half - 1 : -1] = tokens[:, half:]
        return tokens, targets


class Margin(Metric):
    """How far the right token's logit is above the best other one, on average."""

    source = "my own"
    length: int = 12

    @property
    def longest(self):
        return self.length

    def names(self):
        return ("margin",)

    def unit(self, name):
        return "nats"

    def lower_is_better(self, name):
        return False

    def worst(self, name, source):
        return -10.0

    @torch.no_grad()
    def measure(self, model, windows, dtype="float32"):
        logits = model(torch.from_numpy(windows.tokens))
        asked = torch.from_numpy(windows.targets) != IGNORED
        right = torch.from_numpy(windows.targets)[asked]
        logits = logits[asked]
        own = logits.gather(1, right[:, None])[:, 0]
        other = logits.scatter(1, right[:, None], -torch.inf).max(dim=1).values
        return {"margin": (own - other).mean()}
'''

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, d_model=8, vocab=8):
        super().__init__()
        self.embedding, self.read = nn.Embedding(vocab, d_model), nn.GRU(d_model, d_model, batch_first=True)
        self.out = nn.Linear(d_model, vocab)

    def forward(self, tokens):
        return self.out(self.read(self.embedding(tokens))[0])
"""

CLAIM = """
from my_net import Net
from my_task import Margin, Reverse

from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater
from paribus.models.any_module import AnyModule
from paribus.training.recipe import Recipe

claim = Claim(
    statement="Wider is better.",
    source="a test",
    arms=[Arm("narrow", AnyModule.Config(make=Net)), Arm("wide", AnyModule.Config(make=Net, options={"d_model": 12}))],
    task=Trained(
        data=Reverse(), train_length=12, metric=Margin(windows=8), recipe=Recipe(batch=2), match="none"
    ),
    profiles={"smoke": Profile(budget=Budget(tokens=5 * 24), seeds=range(2), learning_rates=(1e-2,))},
    primary="wider",
    predicts=[Greater("wider", "wide", than="narrow", metric="margin", provenance="blind", dated="2026-11-22")],
)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The three files, some of them changed; each test imports its own."""
    usual = list(sys.path)

    def mine(folder=".", **changes):
        monkeypatch.setattr(sys, "path", list(usual))
        Path(folder).mkdir(exist_ok=True)
        for name in ("my_net", "my_task"):
            sys.modules.pop(name, None)
        sys.path_importer_cache.clear()
        for name, text in {"my_task": TASK, "my_net": NET, "my_claim": CLAIM, **changes}.items():
            Path(folder, f"{name}.py").write_text(text)
        return f"{folder}/my_claim.py"

    yield mine
    for name in ("my_net", "my_task"):
        sys.modules.pop(name, None)


def smoke(paribus_command, file):
    said = paribus_command("compare", file, "--profile", "smoke", "--json")
    assert said.code == 12, said.err
    return json.loads(said.out)


def test_from_files_to_a_verdict(paribus_command, mine):
    verdict = smoke(paribus_command, mine())
    read = [cell for cell in verdict["cells"] if (cell["kind"], cell["phase"]) == ("read", "verdict")]
    assert len({cell["metrics"]["margin"] for cell in read}) == 4
    assert verdict["predictions"][0]["unit"] == "nats"
    assert verdict["matching"]["contract"] == "none"
    assert verdict["matching"]["residual"]["wide"] > 0.5
    assert (Path(verdict_folder()) / "report.html").is_file()


def verdict_folder():
    (folder,) = Path("paribus-runs").iterdir()
    return folder


def test_a_verdict_by_a_metric_of_the_users_own_is_verified(paribus_command, mine):
    smoke(paribus_command, mine())
    said = paribus_command("verify", verdict_folder(), "--claim", "my_claim.py")
    assert (said.code, said.err) == (0, "")
    assert "follow from the plan and the cells' files. Not checked:" in said.out
    plan = verdict_folder() / "plan.json"
    plan.write_text(plan.read_text().replace('"Margin"', '"Nowhere"'))
    said = paribus_command("verify", verdict_folder())
    assert said.code == 2
    assert "unknown Metric 'Nowhere'" in said.err
    assert "paribus verify RUN --claim FILE.py" in said.err


@pytest.mark.parametrize(
    ("changes", "computed"),
    [
        ({"my_claim": CLAIM.replace("Wider is better.", "Wider nets are better.")}, 0),
        ({"my_task": TASK.replace('"margin": (own', '"margin": 2 * (own')}, 12),  # the task is in the same file
        ({"my_net": NET.replace("self.out(self", "self.out(0.5 * self")}, 12),
    ],
    ids=["words", "metric", "net"],
)
def test_what_an_edit_computes_anew(paribus_command, mine, changes, computed):
    first = smoke(paribus_command, mine())
    assert first["measured"]["cells_computed"] == 12
    again = smoke(paribus_command, mine("edited", **changes))
    assert again["measured"]["cells_computed"] == computed


def test_worker_processes_find_the_files(mine, tmp_path, monkeypatch):
    """A worker imports the claim from its path; nothing is pickled."""
    monkeypatch.chdir(tmp_path)
    file = mine()
    command = "from paribus.cli.main import main; main()"
    words = ["compare", file, "--profile", "smoke", "--json", "--jobs", "1", "--seeds", "1"]
    done = subprocess.run([sys.executable, "-c", command, *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 12, done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["measured"]["cells_computed"] == 6
    assert {cell["status"] for cell in verdict["cells"]} == {"finished"}


def test_a_module_of_the_users_own_that_was_trained_by_itself(paribus_command, mine):
    assert paribus_command("train", mine(), "--arm", "wide", "--profile", "smoke", "--out", "model").code == 0
    for command in ("evaluate", "generate"):
        said = paribus_command(command, "model")
        assert said.code == 2
        assert "holds a module of your own (my_net:Net), which only your code can make" in said.err
        assert "options={'d_model': 12}" in said.err


MOODY = NET.replace("nn.Embedding(vocab, d_model)", "nn.Embedding(vocab, d_model + random.randrange(1000))").replace(
    "from torch", "import random\n\nfrom torch"
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"my_net": MOODY}, ["arm 'narrow'", "changes with the seed", "module.embedding.weight", "never their"]),
        ({"my_net": NET.replace("vocab=8", "vocab=9")}, ["arm 'narrow' gives logits of 9 tokens, the data has 8"]),
        (
            {"my_net": NET.replace("batch_first=True", "batch_first=True, bidirectional=True").replace(
                "nn.Linear(d_model", "nn.Linear(2 * d_model")},
            ["arm 'narrow' sees the future", "causal=False"],
        ),
        (
            {"my_net": NET.replace("self.read(", "self.reed(")},
            ["the model of AnyModule(make=Net) fails on 12 tokens", "my_net.py:11", "AttributeError"],
        ),
        ({"my_net": NET.replace("[0])", "[0])[:, -1]")}, ["expected logits (batch, length, vocab_size)"]),
        ({"my_claim": CLAIM.replace("make=Net)", "make=lambda: 1)")}, ["my_claim.py:", "name at the top of a file"]),
        (
            {"my_claim": CLAIM.replace('Arm("narrow", AnyModule.Config(make=Net))', 'Arm("narrow", Net())')},
            ["arm 'narrow' is given Net(", "AnyModule.Config(make=...)"],
        ),
        (
            {"my_claim": CLAIM.replace(', match="none"', "")},
            ["arm 'wide' against", "AnyModule(make=Net) has no d_ff to solve for, and +100.00%", "resize="],
        ),
    ],
    ids=["moody", "vocabulary", "future", "broken", "shape", "lambda", "built", "unequal"],
)  # fmt: skip
def test_modules_that_cannot_be_arms(paribus_command, mine, changes, words):
    """Told from the plan, before anything is spent."""
    said = paribus_command("compare", mine(**changes), "--profile", "smoke")
    assert said.code == 2
    for one in words:
        assert one in " ".join(said.err.split())
    assert not Path("paribus-runs").exists()


def test_a_module_that_changes_at_one_seed_only(paribus_command, mine):
    """Two seeds are tried before the run; each later one is checked when it is built."""
    net = NET.replace("from torch import nn", "import torch\nfrom torch import nn").replace(
        "nn.Linear(d_model, vocab)", "nn.Linear(d_model, vocab + (torch.initial_seed() > 2 and torch.rand(()) > 0.5))"
    )
    said = paribus_command("compare", mine(my_net=net), "--profile", "smoke", "--seeds", "6")
    told = " ".join(said.err.split())
    assert said.code != 12
    assert told.startswith("paribus: arm '")
    assert (
        "the model of AnyModule(make=Net) changes with the seed: it has 'module.out.bias' of shape (8,), and at seed"
        in told
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TASK.replace("(own - other).mean()", "float('nan')"), "metric 'margin' of arm 'narrow', replicate 0, is nan"),
        (TASK.replace('{"margin": (own', '{"margins": (own'), "the metric Margin gave ['margins'] for arm 'narrow'"),
        (
            TASK.replace("(own - other).mean()", "own - other"),
            "metric 'margin' of arm 'narrow', replicate 0, is a Tensor",
        ),
    ],
    ids=["nan", "names", "no number"],
)
def test_metrics_that_break_their_word(paribus_command, mine, text, words):
    said = paribus_command("compare", mine(my_task=text), "--profile", "smoke", "--seeds", "1")
    assert said.code == 1
    assert words in said.err
    assert not list(Path("paribus-runs").glob("*/verdict.json"))
