"""`paribus new claim`: the file runs as it is written."""

import json
from pathlib import Path

import pytest

from paribus.lab.load import load


def test_a_new_claim(paribus_command, refused):
    said = paribus_command("new", "claim", "my-idea")
    assert (said.code, said.err) == (0, "")
    assert "paribus compare my_idea.py --plan" in said.out
    name, claim = load("my_idea.py")
    assert name == "my-idea"
    assert {"smoke", "laptop"} <= claim.profiles.keys()
    assert "my_idea.py exists already" in refused("new", "claim", "my-idea")
    assert "unknown kind 'clam'" in refused("new", "clam", "other")
    for bad in ("My-Idea", "2nd", "a b", "../up"):
        assert "no name for a claim" in refused("new", "claim", bad)
    for taken in ("key-norm", "key_norm"):
        assert "is a claim of the library already" in refused("new", "claim", taken)
    assert [path.name for path in Path().iterdir()] == ["my_idea.py"]


@pytest.mark.slow
def test_a_new_claim_runs(paribus_command, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paribus_command("new", "claim", "first-steps")
    said = paribus_command("compare", "first_steps.py", "--profile", "smoke", "--json")
    assert said.code == 12, said.err
    verdict = json.loads(said.out)
    assert {cell["status"] for cell in verdict["cells"]} == {"finished"}
    assert [one["outcome"] for one in verdict["predictions"]] == ["undecided (smoke)"] * 3
    assert (Path(verdict["claim"]).name, verdict["profile"]) == ("first-steps", "smoke")


def test_no_place_to_write(refused, monkeypatch):
    folder = Path("/sys/kernel")
    if not folder.is_dir():
        pytest.skip("needs a file system that refuses even root")
    monkeypatch.chdir(folder)
    assert "run this in a folder that you may write" in refused("new", "claim", "my-idea")
