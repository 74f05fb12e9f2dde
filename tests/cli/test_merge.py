"""`paribus merge`: two machines' folders, and then the same command."""

import json
import shutil
from pathlib import Path


def test_two_folders_and_the_same_command(paribus_command, tiny):
    command = ("compare", tiny, "--profile", "smoke")
    paribus_command(*command)
    (run,) = Path("paribus-runs").iterdir()
    verdict = json.loads((run / "verdict.json").read_text())
    cells = {cell: json.loads((cell / "cell.json").read_text()) for cell in (run / "cells").iterdir()}
    for machine, seed in (("a", 0), ("b", 1)):
        shutil.copytree(run, machine)
        (Path(machine) / "verdict.json").unlink()
        for cell, described in cells.items():
            if described["replicate"] != seed:
                shutil.rmtree(Path(machine) / "cells" / cell.name)
    lost = next(cell for cell, described in cells.items() if described["replicate"] and described["kind"] == "read")
    shutil.rmtree(Path("b/cells") / lost.name)
    shutil.rmtree("paribus-runs")

    said = paribus_command("merge", "a", "b")
    assert said.out.splitlines() == [
        f"a: {len(cells) // 2} cells taken",
        f"b: {len(cells) // 2 - 1} cells taken",
        f"{run}: {len(cells) - 1} of {len(cells)} cells",
        f"go on with: paribus compare {tiny} --profile smoke",
    ]
    again = json.loads(paribus_command(*command, "--json").out)
    assert again["measured"]["cells_computed"] == 1
    assert again["measured"]["test_openings"] == 1
    assert {**again, "measured": 0} == {**verdict, "measured": 0}

    told = json.loads(paribus_command("merge", "a", "b", "--json").out)
    assert told["there"] == told["cells"] == len(cells)
    assert told["taken"] == {"a": 0, "b": 0}


def test_to_another_place(paribus_command, tiny):
    paribus_command("compare", tiny, "--profile", "smoke")
    (run,) = Path("paribus-runs").iterdir()
    said = paribus_command("merge", run, "--out", "my runs/one")
    command = f"paribus compare {tiny} --profile smoke --out 'my runs/one'"
    assert said.out.endswith(f"go on with: {command}\n")
    assert json.loads(Path("my runs/one/run.json").read_text())["command"] == command


def test_what_cannot_be_merged(paribus_command, refused, tiny):
    assert "it has no plan.json" in refused("merge", "nowhere", "elsewhere")
    paribus_command("compare", tiny, "--profile", "smoke", "--out", "smoke")
    paribus_command("compare", tiny, "--profile", "laptop", "--out", "laptop")
    assert "profile smoke against laptop" in refused("merge", "smoke", "laptop")
    Path("thesis").mkdir()
    Path("thesis/chapter").write_text("x")
    assert "holds chapter" in refused("merge", "smoke", "--out", "thesis")
    assert paribus_command("merge").code == 2
