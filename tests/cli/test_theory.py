import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from paribus.cli.theory import app
from paribus.core.errors import ConfigError
from paribus.theory.rope_base import gap_free, lower_bound
from paribus.theory.scaling_law import CHINCHILLA_REFIT
from paribus.theory.sparsity import gini


def run(*words, code=0, stdin=None):
    done = CliRunner().invoke(app, [str(word) for word in words], input=stdin)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


def rows(*words, stdin=None):
    return json.loads(run(*words, "--json", stdin=stdin))["rows"]


def picture(path):
    head = path.read_bytes()[:200]
    return b"<svg" in path.read_bytes() if path.suffix == ".svg" else head.startswith(b"\x89PNG")


@pytest.fixture
def runs(tmp_path):
    draw = np.random.default_rng(0)
    n, d = 10 ** draw.uniform(7.5, 10.2, 40), 10 ** draw.uniform(9, 11.5, 40)
    loss = CHINCHILLA_REFIT.predict(N=n, D=d)
    lines = [f"{float(y)!r},{float(a)!r},{float(b)!r},{i // 4}" for i, (y, a, b) in enumerate(zip(loss, n, d))]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["loss, N, D, seed", *lines]) + "\n", encoding="utf-8")
    return path


def test_help_is_light():
    heavy = "('numpy', 'scipy', 'torch', 'matplotlib')"
    code = f"import sys, paribus.cli.theory; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    for command in ("sparsity", "scaling", "partition", "rope-base"):
        assert command in run("--help")


def test_partition():
    assert run("partition", "130").splitlines()[1].split() == ["130", "10", "13", "0", "23", "2"]
    big = 10**30 + 7
    (row,) = rows("partition", big)
    assert row["a"] * row["b"] + row["c"] == row["N"] == big


def test_partition_of_files(tmp_path):
    (tmp_path / "n.txt").write_text("130, 128\n50257\n")
    assert [row["N"] for row in rows("partition", 4, tmp_path / "n.txt")] == [4, 130, 128, 50257]
    assert [row["N"] for row in rows("partition", "-", stdin="7 8")] == [7, 8]


def test_rope_base(tmp_path):
    found = rows("rope-base", "1k", "2048", "--base", "5000")
    assert [row["length"] for row in found] == [1024, 2048]
    assert found[0]["bound"] == pytest.approx(lower_bound(1024, 128))
    assert found[0]["gap_free_from"] == pytest.approx(gap_free(1024, 128))
    assert [row["feasible"] for row in found] == [False, False]
    text = run("rope-base", "1K", "--base", "10000", "--no-gap-free", "--plot", tmp_path / "bases.svg")
    assert "feasible for every length up to 1707" in text
    assert picture(tmp_path / "bases.svg")
    again = tmp_path / "again.svg"
    run("rope-base", "1K", "--base", "10000", "--no-gap-free", "--plot", again)
    assert again.read_bytes() == (tmp_path / "bases.svg").read_bytes()


def test_rope_base_without_an_answer():
    assert "no base will do" in run("rope-base", "100", "--head-dim", "2")
    assert rows("rope-base", "100", "--head-dim", "2")[0]["bound"] == "inf"
    assert "no constraint" in run("rope-base", "2")
    assert "or more" in run("rope-base", "4k", "--rotary-fraction", "0.5", "--base", "100")


@pytest.mark.parametrize("form", ["txt", "csv", "json", "npy"])
def test_sparsity_reads_rows(tmp_path, form):
    values = [[1.0, 2.0, 3.0], [0.0, 5.0, 1.0]]
    path = tmp_path / f"v.{form}"
    if form == "npy":
        np.save(path, np.array(values))
    elif form == "json":
        path.write_text(json.dumps(values))
    else:
        path.write_text("\n".join((" " if form == "txt" else ", ").join(map(str, row)) for row in values))
    found = rows("sparsity", path, "--rows")
    assert [row["gini"] for row in found] == pytest.approx(gini(values).tolist())
    summary = {row["measure"]: row for row in rows("sparsity", path)}
    assert summary["gini"]["greatest"] == pytest.approx(float(gini(values[1])))
    assert summary["l1/l2"]["sparser"] == "smaller"
    assert summary["hoyer"]["axioms"] == "D1 D2 D3 P1 P2"


def test_sparsity_of_stdin_ragged_rows_and_pictures(tmp_path):
    found = rows("sparsity", "-", "--rows", "--plot", tmp_path / "l.png", stdin="1 2 3\n\n4 5\n")
    assert [row["n"] for row in found] == [3, 2]
    assert picture(tmp_path / "l.png")
    (tmp_path / "one.json").write_text("[1, 2, 3]")
    assert "1 rows" in run("sparsity", tmp_path / "one.json")
    many = "\n".join("1 2 3" for _ in range(12))
    run("sparsity", "-", "--plot", tmp_path / "many.svg", stdin=many)
    assert picture(tmp_path / "many.svg")


def test_sparsity_of_arguments():
    (row,) = rows("sparsity", "3", "1", "0", "0.5", "--rows")
    assert row["gini"] == pytest.approx(float(gini([3, 1, 0, 0.5])))
    assert row["file"] == "arguments"
    assert "1 rows" in run("sparsity", "--", "-3", "1e2")


def test_a_picture_is_refused_before_the_work(tmp_path, runs, monkeypatch):
    monkeypatch.setattr("paribus.theory.scaling_law.fit", None)
    for command in (["scaling", runs], ["sparsity", "1", "2"], ["rope-base", "1M"]):
        for plot, words in (("x.gif", ".svg, .png or .pdf"), (tmp_path / "none" / "x.svg", "there is no folder")):
            with pytest.raises(ConfigError, match=words):
                run(*command, "--plot", plot)


def test_scaling(tmp_path, runs):
    out = json.loads(
        run(
            "scaling",
            runs,
            "--group",
            "seed",
            "--draws",
            "20",
            "--flops",
            "5.76e23",
            "--plot",
            tmp_path / "f.svg",
            "--json",
        )
    )
    estimates = {row["number"]: row["estimate"] for row in out["rows"]}
    assert estimates == pytest.approx(CHINCHILLA_REFIT.values(), rel=1e-5)
    assert out["compute_optimal"]["N"] == pytest.approx(7.233e10, rel=1e-3)
    assert out["points"] == 40
    assert picture(tmp_path / "f.svg")


def test_scaling_of_one_resource(tmp_path):
    text = "loss,C\n" + "".join(f"{1.7 + 2 * c**-0.3!r},{c}\n" for c in (1.0, 10.0, 100.0, 1e3, 1e4, 1e5))
    found = {
        row["number"]: row for row in rows("scaling", "-", "--draws", "20", "--plot", tmp_path / "c.png", stdin=text)
    }
    assert found["alpha_C"]["estimate"] == pytest.approx(0.3, rel=1e-6)
    assert picture(tmp_path / "c.png")
    held = rows("scaling", "-", "--irreducible", "0", "--resource", "C", "--draws", "20", stdin=text)
    assert held[0] == {"number": "E", "estimate": 0.0, "low": 0.0, "high": 0.0}


@pytest.mark.parametrize(
    ("words", "stdin", "message"),
    [
        (["partition", "1.5"], None, "non-negative integer"),
        (["partition", "--", "-3"], None, "non-negative integer"),
        (["partition", "12", "no-such-file.txt"], None, "'no-such-file.txt': expected a non-negative integer"),
        (["partition", "-"], "12 x", "-: 'x': expected a non-negative integer"),
        (["partition", "-"], "", "-: no numbers"),
        (["sparsity", "0", "0"], None, "arguments, row 0: .*no non-zero"),
        (["sparsity", "1", "nan"], None, "NaN"),
        (["sparsity", "1", "two"], None, "No such file"),
        (["scaling", "-"], "loss,N,N\n1,2,3\n", "two columns are named 'N'"),
        (["rope-base", "4.5k"], None, "whole number"),
        (["rope-base", ""], None, "whole number"),
        (["rope-base", "1k", "--head-dim", "7"], None, "even"),
        (["rope-base", "1k", "--base", "1"], None, "base > 1"),
        (["rope-base", "1k", "--no-gap-free", "--plot", "x.gif"], None, ".svg, .png or .pdf"),
        (["sparsity", "no-such-file.txt"], None, "No such file"),
        (["sparsity", "no-such-file.npy"], None, "no array of numbers"),
        (["sparsity", "-"], "", "no numbers"),
        (["sparsity", "-"], "1 2\n3 x\n", "line 2: 'x' is no number"),
        (["sparsity", "-"], "1 2\n0 0\n", "row 1: .*no non-zero"),
        (["sparsity", "-"], "1 nan\n", "NaN"),
        (["scaling", "-"], "loss,N\n", "header line and one run"),
        (["scaling", "-"], "loss,N\n1,2,3\n", "line 2: 3 cells"),
        (["scaling", "-"], "los,N\n1,2\n", "no column 'loss': did you mean los"),
        (["scaling", "-"], "loss,N\n1,two\n", "'two' is no number"),
        (["scaling", "-"], "loss,N\n4,1\n3,2\n2,3\n", "at least 4"),
        (["scaling", "-"], "loss,N\n4,1\n3,2\n2,3\n-1,4\n", "above 0"),
    ],
)
def test_bad_input(words, stdin, message):
    with pytest.raises(ConfigError, match=message):
        run(*words, stdin=stdin)


def test_files_that_are_no_numbers(tmp_path):
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"a": 1}')
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "d.json").write_text("[]")
    for name in ("a.json", "b.json", "c.txt", "d.json"):
        with pytest.raises(ConfigError, match=name):
            run("sparsity", tmp_path / name)
