"""The index of claims is fresh, and is read without torch."""

import json
import subprocess
import sys

from paribus.lab import index

LISTING = """
import sys
from paribus.cli.main import main
sys.argv = ["paribus", *{words!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {{"torch", "scipy", "numpy", "statsmodels", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""


def listing(*words):
    done = subprocess.run([sys.executable, "-c", LISTING.format(words=words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_index_is_fresh():
    """A claim or a kept verdict changed: `paribus claims --refresh` writes the index anew."""
    docs = index.CLAIMS.parent.parent.parent / "docs" / "claims"
    stored = json.loads(index.INDEX.read_text(encoding="utf-8"))
    assert stored == {name: index.describe(name, docs) for name in sorted(index.claim_files())}


def test_listing_claims_loads_nothing_heavy():
    assert "ReRoPE" in listing("claims")
    assert json.loads(listing("claims", "--json"))["recall"]["arms"] == ["narrow", "wide"]


def test_help_loads_nothing_heavy():
    for words in (["--help"], ["check", "--help"]):
        assert "Usage: paribus" in listing(*words)


def test_an_entry_is_used_while_its_file_is_the_same(monkeypatch, tmp_path):
    stored = {"rerope": {"file": index.file_hash(index.claim_files()["rerope"]), "x": 1}, "gone": {"file": "0"}}
    monkeypatch.setattr(index, "INDEX", tmp_path / "index.json")
    assert index.read_index() == {}
    index.INDEX.write_text(json.dumps(stored))
    assert index.read_index() == {"rerope": stored["rerope"]}
    stored["rerope"]["file"] = "0"
    index.INDEX.write_text(json.dumps(stored))
    assert index.read_index() == {}
    index.INDEX.write_text("{")
    assert index.read_index() == {}


def test_kept_verdicts_are_listed(tmp_path):
    verdict = {
        "verdict": "equivalent",
        "version": 3,
        "measured": {"finished": "2026-11-22T06:00:00Z", "cell_seconds": 61.7},
    }
    (tmp_path / "rerope").mkdir()
    (tmp_path / "rerope" / "laptop.json").write_text(json.dumps(verdict))
    assert index.kept("rerope", tmp_path) == {
        "laptop": {"verdict": "equivalent", "version": 3, "day": "2026-11-22", "seconds": 62}
    }
