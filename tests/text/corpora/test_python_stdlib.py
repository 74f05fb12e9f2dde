"""The standard library without its tests."""

import sysconfig

import pytest

from paribus.core.errors import CorpusError
from paribus.text.corpora.python_stdlib import PythonStdlib


def test_the_running_interpreter_without_tests():
    found = {one.name: one.data for one in PythonStdlib().documents()}
    assert {"abc.py", "json/decoder.py", "email/message.py", "unittest/case.py"} <= set(found)
    folders = {part for name in found for part in name.split("/")[:-1]}
    assert not folders & {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
    assert not [name for name in found if not name.endswith(".py") or "sysconfigdata" in name]
    assert len(set(found.values())) == len(found)
    assert sum(map(len, found.values())) > 5_000_000


def test_what_is_left_out(tmp_path, monkeypatch):
    kept = {"a.py": b"a", "pkg/b.py": b"b", "testing.py": b"c"}
    left = {
        "test/x.py": b"1",
        "pkg/tests/y.py": b"2",
        "idlelib/idle_test/z.py": b"3",
        "site-packages/s.py": b"4",
        "dist-packages/d.py": b"5",
        "config-3.11-machine/python-config.py": b"6",
        "_sysconfigdata__linux_.py": b"7",
        ".hidden.py": b"8",
        "pkg/copy_of_a.py": b"a",
        "pkg/__init__.py": b"",
        "pkg/data.txt": b"9",
    }
    for name, data in (kept | left).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert dict(PythonStdlib().documents()) == kept


def test_an_interpreter_without_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(CorpusError, match=r"no \.py files"):
        list(PythonStdlib().documents())
