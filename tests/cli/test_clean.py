"""`paribus clean`: shown first, asked, and only then deleted."""

import json
import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def run(paribus_command, tiny):
    paribus_command("compare", tiny, "--profile", "smoke")
    (run,) = Path("paribus-runs").iterdir()
    return run


def weights():
    return sorted(Path("paribus-runs").rglob("weights.safetensors"))


@pytest.mark.parametrize(("answer", "deleted"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_it_asks(paribus_command, run, monkeypatch, answer, deleted):
    class Terminal:
        def isatty(self):
            return True

        def readline(self):
            return answer

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("typer.confirm", lambda question: print(question) or answer.startswith("y"))  # noqa: T201
    said = paribus_command("clean")
    assert f"{run}: finished: weights and leftovers of training" in said.out
    assert "Delete these" in said.out
    assert said.code == 0
    assert bool(weights()) != deleted
    assert ("freed" in said.out) == deleted


def test_without_a_terminal(paribus_command, run):
    before = weights()
    said = paribus_command("clean")
    assert said.code == 2
    assert "finished: weights and leftovers" in said.out
    assert "nothing was deleted: there is no terminal to ask on" in said.err
    assert weights() == before
    held = sum(path.stat().st_size for path in before)
    told = json.loads(paribus_command("clean", "--json").out)
    assert told["bytes"] == held
    assert told["freed"] == 0
    assert weights() == before
    assert "KiB freed" in paribus_command("clean", "--yes").out
    assert weights() == []
    said = paribus_command("clean", "--yes")
    assert (said.code, said.out) == (0, "nothing to clean in paribus-runs\n")


def test_the_same_command_after_it(paribus_command, run, tiny):
    verdict = json.loads((run / "verdict.json").read_text())
    paribus_command("clean", "--yes")
    again = json.loads(paribus_command("compare", tiny, "--profile", "smoke", "--json").out)
    assert again["measured"]["cells_computed"] == 0
    assert {**again, "measured": 0} == {**verdict, "measured": 0}


def test_what_was_broken_off(paribus_command, run):
    (run / "verdict.json").unlink()
    said = paribus_command("clean", "--yes")
    assert "--older-than 30 keeps it" in said.out
    assert weights()
    other = run.with_name("other")
    shutil.copytree(run, other)
    (other / "notes.txt").write_text("x")
    said = paribus_command("clean", other, "--older-than", 0, "--yes")
    assert "its folder stays, because of what is not paribus's: notes.txt" in said.out
    assert [path.name for path in other.iterdir() if path.name != ".lock"] == ["notes.txt"]
    assert run.exists()
    paribus_command("clean", "--older-than", 0, "--yes")
    assert not run.exists()


def test_nothing_there(paribus_command, refused):
    assert "there is no folder paribus-runs here" in refused("clean")
    Path("thesis").mkdir()
    Path("thesis/weights.safetensors").write_text("x")
    assert paribus_command("clean", "thesis", "--yes").out == "nothing to clean in thesis\n"
    assert os.listdir("thesis") == ["weights.safetensors"]
