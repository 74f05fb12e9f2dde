"""`paribus runs`: the list of runs as a user sees it."""

import json
import shutil
from pathlib import Path

import pytest

from paribus.cli.runs import size


def test_runs_are_listed(paribus_command, tiny):
    paribus_command("compare", tiny, "--profile", "smoke")
    (first,) = Path("paribus-runs").iterdir()
    shutil.copytree(first, first.with_name("second"))
    (first.with_name("second") / "verdict.json").unlink()
    cells = sorted((first.with_name("second") / "cells").iterdir())
    (cells[0] / "result.json").unlink()
    said = paribus_command("runs")
    head, *lines = said.out.splitlines()
    assert head.split() == ["run", "claim", "profile", "state", "cells", "cost", "size", "verdict"]
    assert first.name in lines[1]
    assert "second" in lines[0]
    assert "undecided (smoke)" in lines[1]
    assert f"broken off  {len(cells) - 1} of {len(cells)}" in lines[0]
    assert lines[2] == f"second goes on with: paribus compare {tiny} --profile smoke"

    by_name = {line["run"]: line for line in json.loads(paribus_command("runs", "--json").out)}
    assert by_name["second"]["planned"] == len(cells)
    assert by_name[first.name]["state"] == "done"
    one = json.loads(paribus_command("runs", first, "--json").out)
    assert one == [by_name[first.name]]
    assert not (first / ".catalogue.sqlite").exists()


def test_the_same_command_stands_in_run_json(paribus_command, tiny):
    paribus_command("compare", tiny, "--profile", "smoke", "--seeds", 3, "--out", "my runs")
    about = json.loads(Path("my runs/run.json").read_text())
    assert about["command"] == f"paribus compare {tiny} --profile smoke --seeds 3 --out 'my runs'"
    assert about["cells"] == len(list(Path("my runs/cells").iterdir()))


def test_nothing_to_list(paribus_command, refused):
    assert "`paribus check CLAIM` makes it" in refused("runs")
    assert "there is no folder elsewhere" in refused("runs", "elsewhere")
    Path("empty").mkdir()
    assert paribus_command("runs", "empty").out.startswith("no runs in empty")
    assert paribus_command("runs", "empty", "--json").out == "[]\n"
    assert list(Path("empty").iterdir()) == []
    Path("file").write_text("x")
    assert "there is no folder file" in refused("runs", "file")


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 * 2**20, "3.0 MiB"), (2**40, "1.0 TiB")],
)
def test_sizes_in_words(count, words):
    assert size(count) == words
