"""The command line in this process, in an empty folder, with the real work of a worker but no worker processes."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import paribus.cli.conduct
from paribus.cli.main import main
from paribus.core.errors import ParibusError
from paribus.lab.executors.base import Executor, Finished, request
from paribus.lab.worker import Worker


class Here(Executor):
    """Asks one worker by function calls instead of a pipe."""

    def __init__(self, jobs, settings):
        self.settings = settings

    def run(self, cells, rates):
        worker = Worker(self.settings, lambda message: None)
        for cell in cells:
            answer = worker.answer(request(cell, rates))
            if "error" in answer:
                raise ParibusError(answer["error"])
            yield Finished(cell, answer["result"])

    def close(self):
        pass


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def tiny():
    return str(Path(__file__).parent.parent / "lab" / "tiny.py")


@pytest.fixture
def paribus_command(tmp_path, monkeypatch, capsys):
    """paribus_command("check", ...) -> exit code, stdout, stderr; the current folder is tmp_path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paribus.cli.conduct, "LocalExecutor", Here)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["paribus", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Said(end.value.code or 0, said.out, said.err)

    return run


@pytest.fixture
def refused(paribus_command):
    """Runs a command that must be refused as bad input, in one line, with nothing left behind; the line."""

    def refused(*words, code=2):
        before = sorted(Path.cwd().iterdir())
        said = paribus_command(*words)
        assert said.code == code, said
        assert said.err.startswith("paribus: "), said
        assert said.err.count("\n") == 1, said
        assert sorted(Path.cwd().iterdir()) == before
        return said.err

    return refused


@pytest.fixture(autouse=True)
def forget_modules(tmp_path):
    """What a test imported from its own files goes with it: the next one may have others of that name."""
    before = list(sys.path)
    yield
    sys.path[:] = before
    sys.path_importer_cache.clear()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
