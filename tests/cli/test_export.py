"""`paribus export`: from a run to a table."""

import csv
from pathlib import Path


def test_a_table_of_a_run(paribus_command, tiny):
    paribus_command("compare", tiny, "--profile", "smoke")
    (run,) = Path("paribus-runs").iterdir()
    said = paribus_command("export", run, "--to", "csv", "--out", "tables")
    assert (said.code, said.out) == (0, "tables: 2 files, metrics.csv, steps.csv\n")
    with open("tables/steps.csv", newline="") as file:
        assert {row["run"] for row in csv.DictReader(file)} == {run.name}


def test_what_cannot_be_exported(paribus_command, refused, tiny):
    assert "is not a run folder" in refused("export", "nowhere", "--to", "csv", "--out", "tables")
    assert "did you mean tensorboard?" in refused("export", "nowhere", "--to", "tensorbord", "--out", "x")
    paribus_command("compare", tiny, "--profile", "smoke")
    (run,) = Path("paribus-runs").iterdir()
    assert "lies in the run folder" in refused("export", run, "--to", "csv", "--out", run / "x")
    assert paribus_command("export", run, "--to", "csv").code == 2
