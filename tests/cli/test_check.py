"""`paribus check` and `paribus compare`: plans that spend nothing, pure JSON, exit codes, bad input."""

import json
import sys
from pathlib import Path

import pytest

MEASURED = """
from dataclasses import replace
from paribus.lab.claim import Arm, Measured, Profile
from paribus.lab.load import load
from paribus.lab.predictions import Greater

def measure(config, replicate):
    return {{"x": config["x"] + (replicate % 3) * config["noise"]}}

tiny = load({tiny!r})[1]
claim = replace(
    tiny,
    arms=[Arm("one", {{"x": {x}, "noise": 0.01}}), Arm("other", {{"x": 0.0, "noise": 0.0}})],
    task=Measured(measure=measure, unit="draw", units={{"x": "bits"}}),
    profiles={{"laptop": Profile(seeds=range(8))}},
    predicts=[Greater("helps", "one", than="other", metric="x", by={by}, margin={margin}, provenance="blind",
                      dated="2026-11-22")],
)
"""


def run_folder():
    (folder,) = Path("paribus-runs").iterdir()
    return folder


@pytest.mark.parametrize(
    ("x", "by", "margin", "word", "code"),
    [
        (1.0, 0.5, 0.1, "reproduced", 0),
        (1.0, 2.0, 0.1, "contradicted", 10),
        (0.0, 0.5, 0.1, "equivalent", 11),
        (-0.007, 0.0, 0.1, "undecided", 12),
    ],
)
def test_the_exit_code_is_the_verdict(paribus_command, tiny, x, by, margin, word, code):
    Path("my.py").write_text(MEASURED.format(tiny=tiny, x=x, by=by, margin=margin))
    said = paribus_command("compare", "my.py")
    assert f"verdict: {word}" in said.out
    assert (said.code, said.err) == (code, "")
    assert json.loads((run_folder() / "verdict.json").read_text())["verdict"] == word
    assert (run_folder() / "report.html").is_file()


def test_json_is_all_that_is_on_stdout(paribus_command, tiny):
    said = paribus_command("compare", tiny, "--json", "--profile", "smoke")
    verdict = json.loads(said.out)
    assert verdict == json.loads((run_folder() / "verdict.json").read_text())
    assert said.code == 12
    assert verdict["verdict"] == "undecided (smoke)"
    assert "verdict: undecided (smoke)" in said.err
    again = json.loads(paribus_command("compare", tiny, "--json", "--profile", "smoke").out)
    assert again["measured"]["cells_computed"] == 0
    assert {**again, "measured": 0} == {**verdict, "measured": 0}


def test_a_plan_spends_nothing(paribus_command, tiny):
    said = paribus_command("compare", tiny, "--plan", "--json", "--profile", "tuned", "--jobs", "3")
    plan = json.loads(said.out)
    assert (said.code, said.err) == (0, "")
    assert list(Path.cwd().iterdir()) == []
    assert plan["sizes"].keys() == {"rotary", "none"}
    for size in plan["sizes"].values():
        assert size["residual"] == 0
        assert size["n_parameters"] > 2000
        assert size["flops_per_token"] > size["causal_flops_per_token"] > 2 * size["n_parameters"]
    # 2 rates and 2 seeds for 2 arms; then 2 seeds of 2 arms and a twin, each trained and read
    assert plan["cells"] == 8 + 12
    assert plan["flops"] > 0
    assert plan["measured"]["seconds"] > 0
    assert plan["measured"]["jobs"] == 3
    assert plan["memory_bytes"] > 0
    assert plan["disk_bytes"] > 0
    (power,) = plan["power"]
    assert power["smallest_detectable"] is None  # two seeds never decide
    assert power["margin"] == 0.1
    assert plan["steps"] == 10
    assert plan["folder"].endswith(plan["digest"][:8])


def test_a_plan_in_words(paribus_command, tiny):
    said = paribus_command("compare", tiny, "--plan", "--seeds", "9")
    told = " ".join(said.out.split())
    for words in ("residual", "9 seeds", "not searched here", "twin of 'none'", "FLOPs", "memory", "smallest"):
        assert words in told
    assert list(Path.cwd().iterdir()) == []


TWO = """
from dataclasses import replace
from paribus.lab.load import load
from paribus.lab.predictions import Equivalent

loaded = load({path!r})[1]
first = loaded.predicts[0]
same = Equivalent("same", first.arm, than=first.than, metric=first.metric, margin=0.1, provenance="blind",
                  dated="2026-11-22")
claim = replace(loaded, predicts=[first, same])
"""


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        (5, "5 cannot decide helps, same; 7 could (--seeds 7)"),
        (6, "6 cannot decide helps; 7 could (--seeds 7)"),
        (7, ""),
    ],
)
@pytest.mark.parametrize("unit", ["seeds", "replicates"])
def test_seeds_that_can_decide_nothing_are_said(paribus_command, tiny, unit, seeds, told):
    if unit == "replicates":
        Path("my.py").write_text(MEASURED.format(tiny=tiny, x=1.0, by=0.5, margin=0.1))
    Path("two.py").write_text(TWO.format(path=tiny if unit == "seeds" else str(Path("my.py").resolve())))
    said = paribus_command("compare", "two.py", "--plan", "--seeds", str(seeds)).out
    warned = [line for line in said.splitlines() if line.startswith("too few")]
    assert warned == ([f"too few {unit}: at 5 % / 2, the share of each of 2 predictions, {told}"] if told else [])
    power = json.loads(paribus_command("compare", "two.py", "--plan", "--json", "--seeds", str(seeds)).out)["power"]
    assert [one["fewest_seeds"] for one in power] == [7, 6]
    assert [one["smallest_detectable"] is None for one in power] == [seeds < 7, seeds < 6]
    if unit == "replicates":
        started = paribus_command("compare", "two.py", "--seeds", str(seeds)).out
        assert [line for line in started.splitlines() if line.startswith("too few")] == warned


def test_a_run_says_it_before_it_starts_and_a_smoke_run_never(paribus_command, tiny):
    alone = "too few seeds: at 5 %, 2 cannot decide helps; 6 could (--seeds 6)"
    said = paribus_command("compare", tiny, "--json")
    assert said.err.index(alone) < said.err.index("verdict: undecided")
    for further in ([], ["--plan"]):
        assert "too few seeds:" not in paribus_command("compare", tiny, "--profile", "smoke", *further).out


def test_more_seeds_take_over_what_is_done(paribus_command, tiny):
    paribus_command("compare", tiny)
    said = paribus_command("compare", tiny, "--seeds", "3", "--json")
    told = json.loads(said.out)["measured"]
    assert (told["cells_found"], told["cells_computed"]) == (12, 6)
    assert len(list(Path("paribus-runs").iterdir())) == 2


OWN = """
from dataclasses import dataclass, replace
from torch import nn
from paribus.lab.claim import Arm
from paribus.lab.load import load

class Net(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.embedding, self.read, self.out = nn.Embedding(8, 16), kind(16, 16, batch_first=True), nn.Linear(16, 8)

    def forward(self, tokens, last=None):
        print("whatever a model prints")
        logits = self.out(self.read(self.embedding(tokens))[0])
        return logits if last is None else logits[:, -last:]

@dataclass(frozen=True)
class Config:
    kind: type

    def build(self):
        return Net(self.kind)

tiny = load({tiny!r})[1]
claim = replace(
    tiny,
    statement="A statement in [bold] words [x].",
    arms=[Arm("rotary", Config(nn.GRU)), Arm("none", Config(nn.LSTM))],
    task=replace(tiny.task, match={match!r}),
)
"""


def test_any_module_is_an_arm(paribus_command, tiny):
    """It declares neither its size nor its price."""
    Path("own.py").write_text(OWN.format(tiny=tiny, match="none"))
    said = paribus_command("compare", "own.py", "--profile", "smoke", "--json")
    assert said.code == 12, said.err
    verdict = json.loads(said.out)
    assert "whatever a model prints" in said.err
    assert "A statement in [bold] words [x]." in said.err
    assert {cell["status"] for cell in verdict["cells"]} == {"finished"}
    read = [cell for cell in verdict["cells"] if (cell["kind"], cell["phase"]) == ("read", "verdict")]
    assert len({cell["metrics"]["loss@12"] for cell in read}) == len(read) == 4
    Path("unequal.py").write_text(OWN.format(tiny=tiny, match="parameters"))
    assert "match it by hand, or say match='none'" in complaint(paribus_command("compare", "unequal.py"))


def test_words_that_are_unknown(refused, tiny):
    assert "did you mean rerope" in refused("check", "re-rope")
    assert "it has smoke, laptop, tuned, long" in refused("compare", tiny, "--profile", "gpu")
    assert "a claim of the library runs by `check`" in refused("compare", "rerope")
    assert "there is no file nothing.py" in refused("compare", "nothing.py")


def test_numbers_that_are_impossible(refused, tiny):
    assert "--seeds 0: expected at least 1" in refused("compare", tiny, "--seeds", "0")
    assert "--seeds -3" in refused("compare", tiny, "--seeds=-3")
    assert "--jobs 0: expected at least 1" in refused("compare", tiny, "--jobs", "0")


def test_a_machine_without_a_gpu(refused, tiny, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("my.py").write_text(
        f"from dataclasses import replace\nfrom paribus.lab.load import load\ntiny = load({tiny!r})[1]\n"
        "claim = replace(tiny, profiles={'gpu': replace(tiny.profiles['laptop'], device='cuda')})\n"
    )
    assert "needs a CUDA GPU" in refused("compare", "my.py", "--profile", "gpu")


def test_folders_that_are_not_free(paribus_command, refused, tiny):
    Path("notes").mkdir()
    Path("notes/todo.txt").write_text("x")
    assert "is not a run folder" in complaint(paribus_command("compare", tiny, "--out", "notes"))
    assert [entry.name for entry in Path("notes").iterdir() if entry.suffix] == ["todo.txt"]
    assert "cannot make the run folder" in refused("compare", tiny, "--out", "notes/todo.txt")
    assert "cannot make the run folder" in refused("compare", tiny, "--out", "notes/todo.txt/run")
    paribus_command("compare", tiny, "--profile", "smoke", "--out", "run")
    before = {path: path.read_bytes() for path in Path("run").rglob("*.json")}
    assert "holds another plan" in complaint(paribus_command("compare", tiny, "--out", "run"))
    assert {path: path.read_bytes() for path in Path("run").rglob("*.json")} == before


def complaint(said):
    assert said.code == 2
    return said.err


TEXT = """
from dataclasses import replace
from paribus.data.text_source import Text
from paribus.lab.claim import Arm
from paribus.lab.load import load
from paribus.text.corpora.folder import Folder

tiny = load({tiny!r})[1]
arms = [Arm(arm.name, replace(arm.config, vocab_size=256)) for arm in tiny.arms]
claim = replace(tiny, arms=arms, task=replace(tiny.task, data=Text(corpus=Folder(path={path!r}))))
"""


@pytest.fixture
def text(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def text(path):
        file = Path(f"text_{Path(path).stem}.py")
        file.write_text(TEXT.format(tiny=tiny, path=path))
        return file

    return text


def test_a_corpus_that_is_too_small(paribus_command, text):
    """For its split, or for what the plan reads: told before anything is trained."""
    Path("one").mkdir()
    Path("one/a.txt").write_text("a few words")
    assert "too small for its split" in complaint(paribus_command("compare", text("one")))
    Path("short").mkdir()
    for i in range(80):
        Path(f"short/{i}.txt").write_text(f"word {i}")
    told = complaint(paribus_command("compare", text("short")))
    assert "the dev split has" in told
    assert "take a larger corpus" in told
    assert not Path("paribus-runs").exists()
    assert "nowhere" in complaint(paribus_command("compare", text("nowhere")))


def test_text_of_the_user_from_start_to_verdict(paribus_command, text):
    Path("mine").mkdir()
    for i in range(80):
        Path(f"mine/{i}.txt").write_text("".join(f"{i} and {k} are {i + k}\n" for k in range(40)))
    said = paribus_command("compare", text("mine"), "--json", "--profile", "smoke")
    verdict = json.loads(said.out)
    assert said.code == 12
    assert all(cell["status"] == "finished" for cell in verdict["cells"])


def test_a_missing_extra(paribus_command, text, monkeypatch):
    Path("table.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    told = complaint(paribus_command("compare", text("table.parquet")))
    assert "pip install 'paribus[data]'" in told


def test_interrupted(paribus_command, tiny, monkeypatch):
    import paribus.cli.conduct

    def interrupt(self, cells, rates):
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(paribus.cli.conduct.LocalExecutor, "run", interrupt)
    said = paribus_command("compare", tiny)
    assert said.code == 130
    assert "finished cells are kept in paribus-runs" in said.err
    monkeypatch.undo()
