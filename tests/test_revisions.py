"""A changed part or engine must raise its revision, or old results would be reused as if nothing had happened."""

import copy
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def load() -> ModuleType:
    path = Path(__file__).with_name("bless.py")
    spec = importlib.util.spec_from_file_location("bless", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bless = load()


def test_every_change_of_code_is_accounted_for():
    old, new = bless.recorded(), bless.now()
    silent = bless.silent_changes(old, new)
    assert not silent, "\n".join([*silent.values(), "then, or if no result changes: python tests/bless.py NAME ..."])
    assert old == new, "there are new parts or revisions to record: python tests/bless.py"


def test_the_record_holds_what_results_depend_on():
    new = bless.now()
    assert {name.split(" ")[0] for name in new["parts"]} >= {"Softmax", "Rotary", "GroupedQuery", "DecoderLM", "AdamW"}
    assert set(new["engine"]["files"]) >= {
        "attention/attend.py",
        "attention/backends.py",
        "attention/caches.py",
        "core/seed.py",
        "data/order.py",
        "lab/work.py",
        "layers/embedding.py",
        "layers/linear.py",
        "layers/parameters.py",
        "native/kernels/attention.cc",
        "training/checkpoint.py",
        "training/loop.py",
        "training/precision.py",
    }


ORIGINAL = '''
"""Words."""
from typing import ClassVar


class A(Part):
    source: ClassVar[str] = "Someone, 2021"
    x: float = 0.5

    def f(self, y: int) -> float:
        # why
        require(y > 0, f"y = {y}: expected more")
        return self.x * y


A.examples = (A(),)
'''


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"""Words."""', '"""Other words."""'),
        ("# why", "# because"),
        ("Someone, 2021", "Someone else, 2022"),
        ("y: int", "y"),
        (": expected more", ": give more"),
        ("(A(),)", "(A(), A(x=2.0))"),
        ("    x: float = 0.5", "    x: float = 0.5\n    revision: ClassVar[int] = 2"),
        ("self.x * y", "(self.x *\n        y)"),
    ],
)
def test_what_changes_no_number_changes_no_hash(before, after):
    assert before in ORIGINAL
    assert bless.hash_of(ORIGINAL.replace(before, after)) == bless.hash_of(ORIGINAL)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0.5", "0.25"),
        ("self.x * y", "self.x + y"),
        ("self.x * y", "y * self.x"),
        ("y > 0", "y >= 0"),
        ("x: float = 0.5", "x: float = 0.5\n    z: float = 1.0"),
        ("{y}:", "{self.x}:"),
    ],
)
def test_what_may_change_a_number_changes_the_hash(before, after):
    assert before in ORIGINAL
    assert bless.hash_of(ORIGINAL.replace(before, after)) != bless.hash_of(ORIGINAL)


def test_native_code_counts_and_its_comments_do_not():
    given = '#include "a.hh"\n// why\nint f() {\n  return 1;  // one\n}\n'
    assert bless.hash_of_native(given) == bless.hash_of_native("int f() { return 1;\n}")
    assert bless.hash_of_native(given) != bless.hash_of_native(given.replace("1;", "2;"))


def test_the_hash_is_pinned():
    """Alike on every version of Python that the project supports."""
    assert bless.hash_of(ORIGINAL) == "febd6300a302ef8e"


@pytest.fixture
def record(tmp_path, monkeypatch):
    """A record and code of one part and one engine file, to be changed at will."""
    code = {
        "engine": {"revision": 3, "files": {"training/loop.py": "aa"}},
        "parts": {"Softmax (normalizers/softmax.py)": {"revision": 1, "hash": "bb"}},
    }
    monkeypatch.setattr(bless, "RECORD", tmp_path / "hashes.json")
    monkeypatch.setattr(bless, "now", lambda: copy.deepcopy(code))
    assert bless.main([]) == 0
    return code


def test_a_silent_change_must_be_named(record, capsys):
    record["parts"]["Softmax (normalizers/softmax.py)"]["hash"] = "cc"
    record["engine"]["files"]["ops/merge.py"] = "dd"
    assert bless.main([]) == 1
    said = capsys.readouterr().out
    assert "Softmax (normalizers/softmax.py) changed: raise its revision above 1" in said
    assert "the engine changed (ops/merge.py): raise ENGINE_REVISION in lab/cell.py above 3" in said
    assert bless.main(["Softmax", "Sparsemax"]) == 2
    assert bless.recorded()["parts"]["Softmax (normalizers/softmax.py)"]["hash"] == "bb"
    # One at a time: what is named is recorded, the other stays as it was.
    assert bless.main(["Softmax"]) == 1
    assert bless.recorded()["parts"] == record["parts"]
    assert bless.recorded()["engine"]["files"] == {"training/loop.py": "aa"}
    assert bless.main(["engine"]) == 0
    assert bless.recorded() == record


def test_a_raised_revision_is_recorded(record):
    record["parts"]["Softmax (normalizers/softmax.py)"] = {"revision": 2, "hash": "cc"}
    record["engine"] = {"revision": 4, "files": {}}
    record["parts"]["Sparsemax (normalizers/sparsemax.py)"] = {"revision": 1, "hash": "ee"}
    assert bless.main([]) == 0
    assert bless.recorded() == record
    record["parts"]["Softmax (normalizers/softmax.py)"]["revision"] = 1
    assert bless.main([]) == 1
