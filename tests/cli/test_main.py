"""Every error is one clear line and its exit code."""

import errno
from importlib.metadata import version

import pytest

import paribus.cli.main
from paribus.core.errors import CellFailed, Interrupted


def test_no_command_is_told_what_there_is(paribus_command):
    said = paribus_command()
    assert said.code == 2
    for command in ("check", "claims", "compare", "new", "train", "evaluate", "generate"):
        assert command in said.out + said.err


def test_the_version_is_that_of_the_package(paribus_command):
    said = paribus_command("--version")
    assert said.code == 0
    assert said.out == f"paribus {version('paribus')}\n"


def test_unknown_words(paribus_command):
    said = paribus_command("chekc")
    assert said.code == 2
    assert "No such command 'chekc'" in said.err
    said = paribus_command("check", "rerope", "--sedes", "3")
    assert said.code == 2
    assert "--seeds" in said.err
    said = paribus_command("check", "rerope", "--seeds", "many")
    assert said.code == 2
    assert "Invalid value for '--seeds'" in said.err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (CellFailed("a cell failed"), 1, "paribus: a cell failed\n"),
        (Interrupted("stopped"), 130, "paribus: stopped\n"),
        (KeyboardInterrupt(), 130, "the same command goes on from there"),
        (
            OSError(errno.ENOSPC, "No space left on device", "x/y"),
            1,
            "paribus: No space left on device: x/y; free space",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "x/y"), 1, "paribus: Permission denied: x/y"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_exit_codes(paribus_command, monkeypatch, error, code, words):
    def fail(**options):
        raise error

    monkeypatch.setattr(paribus.cli.main, "app", fail)
    said = paribus_command("check")
    assert said.code == code
    assert words in said.err
    assert said.err.count("\n") <= 1


def test_a_bug_is_not_hidden(monkeypatch):
    def fail(**options):
        raise ZeroDivisionError

    monkeypatch.setattr(paribus.cli.main, "app", fail)
    with pytest.raises(ZeroDivisionError):
        paribus.cli.main.main()
