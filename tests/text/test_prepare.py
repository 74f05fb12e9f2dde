"""Preparing: exact splits, a digest of the content alone, whole or not at all."""

import errno
import hashlib
import itertools
import json
import os
import platform
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.core.errors import CorpusError
from paribus.text import prepare as module
from paribus.text.corpora import Corpus, Folder, PythonStdlib
from paribus.text.document import Document
from paribus.text.prepare import prepare
from paribus.text.prepared import Prepared
from paribus.text.split import SPLITS, split_of


class Given(Corpus):
    """Documents written out, for these tests."""

    source: ClassVar[str] = ""
    content: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return "given"

    def documents(self) -> Iterator[Document]:
        for name, text in self.content:
            yield Document(name, text.encode())


CONTENT = tuple((f"{k}.txt", f"text {k}\n" * (k % 7 + 1)) for k in range(61))


def texts(prepared: Prepared, split: str) -> list[bytes]:
    data, offsets = prepared.split(split), prepared.offsets(split)
    return [data[a : b - 1].tobytes() for a, b in itertools.pairwise(offsets)]


def leftovers(folder) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_each_document_lies_whole_in_its_split(tmp_path):
    prepared = prepare(Given(content=CONTENT), tmp_path)
    for split in SPLITS:
        names = sorted(
            (name for name, _ in CONTENT if split_of(name) == split),
            key=lambda name: hashlib.sha256(name.encode()).digest(),
        )
        assert texts(prepared, split) == [dict(CONTENT)[name].encode() for name in names]
        data = prepared.split(split)
        assert data.tobytes() == b"".join(dict(CONTENT)[name].encode() + b"\xff" for name in names)
        assert not data.flags.writeable
        part = prepared.manifest["splits"][split]
        assert part["documents"] == len(names)
        assert part["bytes"] == len(data) - len(names)
        assert part["sha256"] == hashlib.sha256(data.tobytes()).hexdigest()
    assert prepared.manifest["documents"] == len(CONTENT)
    assert prepared.manifest["bytes"] == sum(len(text) for _, text in CONTENT)
    train = prepared.split("train").tobytes()
    assert prepared.manifest["zlib_bits_per_byte"] == pytest.approx(
        8 * len(zlib.compress(train, 9)) / len(train), abs=1e-4
    )
    assert json.loads((prepared.path / "manifest.json").read_text()) == prepared.manifest
    assert leftovers(tmp_path) == []


@settings(deadline=None, max_examples=20)
@given(st.permutations(CONTENT))
def test_order_does_not_matter(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("order")
    one, other = prepare(Given(content=CONTENT), folder), prepare(Given(content=tuple(content)), folder)
    assert one.manifest | {"corpus": None} == other.manifest | {"corpus": None}


def test_the_digest_is_of_names_and_contents_only(tmp_path):
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        for name, text in CONTENT:
            (tmp_path / place / name).write_text(text)
    here, there = (
        prepare(Folder(path=str(tmp_path / place)), tmp_path / f"cache {place}") for place in ("here", "there")
    )
    assert here.manifest | {"corpus": None} == there.manifest | {"corpus": None}
    assert here.manifest["corpus"] == {"part": "Folder", "path": str(tmp_path / "here"), "field": "text"}
    written_out = prepare(Given(content=CONTENT), tmp_path / "cache here")
    assert written_out.digest == here.digest
    assert written_out.path != here.path  # each manifest speaks of its own corpus

    renamed = (("other.txt", CONTENT[0][1]), *CONTENT[1:])
    changed = ((CONTENT[0][0], "text!"), *CONTENT[1:])
    swapped = ((CONTENT[0][0], CONTENT[1][1]), (CONTENT[1][0], CONTENT[0][1]), *CONTENT[2:])
    digests = {prepare(Given(content=one), tmp_path).digest for one in (renamed, changed, swapped, CONTENT[1:])}
    assert len(digests | {here.digest}) == 5


def test_the_python_version_is_named_where_it_matters(tmp_path):
    manifest = prepare(PythonStdlib(), tmp_path).manifest
    assert manifest["python"] == platform.python_version()
    assert "python" not in prepare(Given(content=CONTENT), tmp_path).manifest
    # The library compresses well, and not absurdly so: 1.80 bits a byte for Python 3.11.7.
    assert 1 < manifest["zlib_bits_per_byte"] < 3


def test_a_found_copy_is_not_written_again(tmp_path, monkeypatch):
    first = prepare(Given(content=CONTENT), tmp_path)
    monkeypatch.setattr(module, "_write", lambda *arguments: pytest.fail("written again"))
    assert prepare(Given(content=CONTENT), tmp_path) == first
    assert Prepared.open(str(first.path)) == first


@pytest.mark.parametrize("name", ["train.bin", "test.bin", "dev.offsets.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["changed", "shorter", "empty", "missing"])
def test_a_damaged_copy_is_rebuilt(tmp_path, name, damage):
    first = prepare(Given(content=CONTENT), tmp_path)
    whole = {path.name: path.read_bytes() for path in first.path.iterdir()}
    path, data = first.path / name, whole[name]
    if damage == "missing":
        path.unlink()
    else:
        changed = {"changed": data[:-2] + bytes([data[-2] ^ 1]) + data[-1:], "shorter": data[:-3], "empty": b""}
        path.write_bytes(changed[damage])
    if damage != "changed":
        with pytest.raises(CorpusError, match="not a whole prepared corpus"):
            Prepared.open(first.path)
    assert prepare(Given(content=CONTENT), tmp_path) == first
    assert {path.name: path.read_bytes() for path in first.path.iterdir()} == whole
    assert leftovers(tmp_path) == []


def test_a_border_inside_a_document_is_damage(tmp_path):
    first = prepare(Given(content=CONTENT), tmp_path)
    offsets = first.offsets("train").copy()
    offsets[1] += 1
    np.save(first.path / "train.offsets.npy", offsets)
    assert not Prepared.open(first.path).intact()
    assert prepare(Given(content=CONTENT), tmp_path).intact()


def test_another_version_of_the_form_is_refused(tmp_path):
    path = prepare(Given(content=CONTENT), tmp_path).path
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"schema": "paribus.corpus/0"}))
    with pytest.raises(CorpusError, match=r"paribus\.corpus/0"):
        Prepared.open(path)
    with pytest.raises(CorpusError, match="not a whole prepared corpus"):
        Prepared.open(tmp_path / "nothing")


def test_an_unknown_split(tmp_path):
    with pytest.raises(CorpusError, match=r"unknown split 'tests': did you mean test\?"):
        prepare(Given(content=CONTENT), tmp_path).split("tests")


@pytest.mark.parametrize("content", [(), CONTENT[:1], (("only empty", ""),)])
def test_a_corpus_too_small_for_its_split(tmp_path, content):
    with pytest.raises(CorpusError, match=r"too small for its split: . documents.*train .* dev .* test .* give more"):
        prepare(Given(content=content), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_empty_documents_are_left_out(tmp_path):
    full = prepare(Given(content=CONTENT), tmp_path)
    padded = prepare(Given(content=(*CONTENT, ("nothing", ""), ("nought", ""))), tmp_path)
    assert full.digest == padded.digest


def test_two_processes_at_once(tmp_path):
    """Both read and write at once; both end with the same whole copy, and nothing else is left."""
    code = (
        "import sys; from pathlib import Path; from paribus.text.corpora import PythonDocs; "
        "from paribus.text.prepare import prepare; print(prepare(PythonDocs(), Path(sys.argv[1])).path)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    paths = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    (path,) = paths
    assert Prepared.open(path).intact()
    assert [str(one) for one in tmp_path.iterdir()] == [path]


def test_the_loser_of_a_race_takes_the_winners_copy(tmp_path, monkeypatch):
    corpus, write, winners = Given(content=CONTENT), module._write, []

    def write_after_another(*arguments):
        monkeypatch.setattr(module, "_write", write)
        winners.append((prepare(corpus, tmp_path), os.stat(winner_file()).st_ino))
        write(*arguments)

    def winner_file():
        (path,) = tmp_path.glob("*/train.bin")
        return path

    monkeypatch.setattr(module, "_write", write_after_another)
    found = prepare(corpus, tmp_path)
    assert [(found, os.stat(winner_file()).st_ino)] == winners
    assert leftovers(tmp_path) == []


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(CorpusError, match=r"No space left on device; nothing was left half-written: free space"):
        prepare(Given(content=CONTENT), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CorpusError, match="choose a folder that you may write"):
        prepare(Given(content=CONTENT), tmp_path / "file" / "corpora")


def test_an_unreadable_document_or_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.jsonl").write_text('{"text": "a"}\nbroken\n')
    with pytest.raises(CorpusError, match="line 2"):
        prepare(Folder(path=str(tmp_path / "texts")), tmp_path / "cache")

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(Given(content=CONTENT), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_killed_processes_left_is_swept(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here, old = platform.node(), 100_000
    for name, age in {
        f"{here}~{gone.pid}~dead": 10,
        f"{here}~{os.getpid()}~alive": 10,
        f"{here}~{os.getpid()}~forgotten": old,
        "elsewhere~1~unknown": 10,
        "elsewhere~1~forgotten": old,
    }.items():
        (tmp_path / f".preparing-{name}").mkdir()
        then = time.time() - age
        os.utime(tmp_path / f".preparing-{name}", (then, then))
    prepare(Given(content=CONTENT), tmp_path)
    assert sorted(leftovers(tmp_path)) == sorted(
        [f".preparing-{here}~{os.getpid()}~alive", ".preparing-elsewhere~1~unknown"]
    )


def test_the_default_folder_is_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(module.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    assert prepare(Given(content=CONTENT)).path.parent == tmp_path / "paribus" / "corpora"
