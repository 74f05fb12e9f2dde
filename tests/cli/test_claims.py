"""`paribus claims`: the list, and what is kept of a run."""

import json
import re
from pathlib import Path

import pytest

from paribus.cli import claims, keep
from paribus.core.errors import InputError


def test_the_list(paribus_command):
    said = paribus_command("claims")
    told = " ".join(said.out.split())
    assert (said.code, said.err) == (0, "")
    for words in ("rerope version", "source", "narrow, wide", "8 seeds", "FLOPs"):
        assert words in told


def test_some_of_the_list(paribus_command):
    said = paribus_command("claims", "recall", "rerope")
    assert [line.split()[0] for line in said.out.splitlines() if line[:1].isalpha() and " version " in line] == [
        "recall",
        "rerope",
    ]
    assert json.loads(paribus_command("claims", "recall", "--json").out).keys() == {"recall"}
    wrong = paribus_command("claims", "reroup")
    assert wrong.code == 2
    assert "there is no claim reroup: did you mean rerope?" in " ".join(wrong.err.split())


def test_the_list_as_json(paribus_command):
    listed = json.loads(paribus_command("claims", "--json").out)
    assert listed["rerope"]["profiles"].keys() == {"smoke", "laptop", "hour", "gpu"}
    assert listed["rerope"]["profiles"]["laptop"]["cells"] > 32


def test_a_claim_that_is_not_in_the_index_is_described(paribus_command, monkeypatch, tmp_path):
    import paribus.lab.index

    expected = json.loads(paribus_command("claims", "--json").out)
    monkeypatch.setattr(paribus.lab.index, "INDEX", tmp_path / "none.json")
    found = json.loads(paribus_command("claims", "--json").out)
    assert {**found["rerope"], "verdicts": 0} == {**expected["rerope"], "verdicts": 0}


def test_verdicts_in_the_list(capsys):
    last = {"verdict": "reproduced", "version": 1, "day": "2026-11-22", "seconds": 480}
    entry = {
        "version": 2,
        "statement": "This is so.",
        "source": "me",
        "arms": ["a", "b"],
        "profiles": {name: {"cells": 3, "seeds": 8, "flops": 1e12} for name in ("laptop", "hour")},
        "verdicts": {"laptop": last},
    }
    claims.show({"one": entry})
    told = capsys.readouterr().out
    assert "reproduced of version 1 (2026-11-22, 8 core-minutes)" in " ".join(told.split())
    assert "no verdict kept" in told
    with pytest.raises(InputError, match="no claims in this installation"):
        claims.show({})


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of which nothing but the kept verdicts is real."""
    monkeypatch.setattr(keep, "checkout", lambda: tmp_path)
    return tmp_path


def a_run(folder, **changes):
    folder.mkdir()
    verdict = {"claim": "rerope", "profile": "laptop", "version": 1, **changes}
    (folder / "verdict.json").write_text(json.dumps(verdict))
    (folder / "report.md").write_text("told")
    return folder


def test_a_run_is_kept(checkout):
    keep.keep_verdict(a_run(checkout / "run"))
    kept = checkout / "docs" / "claims" / "rerope"
    assert sorted(path.name for path in kept.iterdir()) == ["laptop.json", "laptop.md"]
    assert json.loads((kept / "laptop.json").read_text())["claim"] == "rerope"


def test_a_new_version_does_not_overwrite_the_verdict_of_an_old_one(checkout):
    for run, version in (("first", 1), ("again", 1), ("second", 2), ("third", 3)):
        keep.keep_verdict(a_run(checkout / run, version=version, run=run))
    kept = checkout / "docs" / "claims" / "rerope"
    found = {str(path.relative_to(kept)): json.loads(path.read_text())["run"] for path in kept.rglob("*.json")}
    assert found == {"laptop.json": "third", "version-2/laptop.json": "second", "version-1/laptop.json": "again"}
    assert (kept / "version-1" / "laptop.md").read_text() == "told"


def test_what_is_never_kept(checkout):
    for changes, words in (
        ({"profile": "smoke"}, "is a smoke run: it gives no verdict to keep"),
        ({"claim": "my-idea"}, "'my-idea' is no claim of the library"),
    ):
        run = a_run(checkout / words[:4], **changes)
        with pytest.raises(InputError, match=words):
            keep.keep_verdict(run)
    with pytest.raises(InputError, match=r"has no verdict.json: give the folder of a finished run"):
        keep.keep_verdict(checkout / "nothing")
    (run / "verdict.json").write_text("{")
    with pytest.raises(InputError, match=r"verdict.json is damaged .*: delete it and run the same command again"):
        keep.keep_verdict(run)
    assert not (checkout / "docs").exists()


def test_a_smoke_run_is_refused_on_the_command_line(paribus_command, tiny):
    paribus_command("compare", tiny, "--profile", "smoke", "--out", "run")
    said = paribus_command("claims", "--keep", "run")
    assert said.code == 2
    assert "smoke run" in said.err


def test_an_installed_package_has_no_docs(monkeypatch):
    monkeypatch.setattr(keep, "CLAIMS", Path("/nowhere/site-packages/paribus/claims"))
    with pytest.raises(InputError, match="is an installed package, not a checkout"):
        keep.checkout()


def test_a_claim_that_changed_under_its_version(checkout, monkeypatch):
    index = checkout / "index.json"
    monkeypatch.setattr(keep, "INDEX", index)
    entry = {"version": 1, "digest": "new", "verdicts": {}}
    monkeypatch.setattr(keep, "describe", lambda name, docs: dict(entry))
    keep.write_index()
    assert json.loads(index.read_text())["rerope"] == entry
    earlier = {"version": 1, "digest": "old", "verdicts": {"laptop": {"version": 0}}}
    index.write_text(json.dumps({"rerope": earlier}))
    keep.write_index()  # the verdict kept is of an earlier version
    index.write_text(json.dumps({"rerope": earlier | {"verdicts": {"laptop": {"version": 1}}}}))
    with pytest.raises(InputError, match="still version 1 and has kept verdicts: raise `version`"):
        keep.write_index()
    entry["version"] = 2
    keep.write_index()
    assert json.loads(index.read_text())["rerope"]["version"] == 2


def test_a_measure_has_no_flops(paribus_command):
    told = paribus_command("claims", "quadratic-part").out
    assert re.search(r"laptop +48 cells, 8 seeds: ", told)
    assert "FLOPs" not in told
