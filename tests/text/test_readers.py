"""Every format gives back what was written, and everything unreadable is named with its file and line."""

import gzip
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.core.errors import CorpusError, MissingExtra
from paribus.text import readers, streams
from paribus.text.readers import Document, documents

TEXTS = ["one\nline", "", "漢字 é 😀\r\n\n", '"quoted" \\ \t\x00', "x" * 5000 + "\n"]


def compress(data: bytes, end: str) -> bytes:
    if end == ".gz":
        return gzip.compress(data)
    if end == ".zst":  # two frames: both are legal in one file
        one = zstandard.ZstdCompressor(write_checksum=True)
        half = len(data) // 2
        return one.compress(data[:half]) + one.compress(data[half:])
    return data


def written(kind: str) -> bytes:
    """TEXTS in a format that holds many documents."""
    if kind == "jsonl":
        return "\n".join(json.dumps({"id": k, "text": text}) for k, text in enumerate(TEXTS)).encode()
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"id": range(len(TEXTS)), "text": TEXTS}), out)
    return out.getvalue()


@pytest.mark.parametrize("end", ["", ".gz", ".zst"])
@pytest.mark.parametrize("text", TEXTS)
def test_text(tmp_path, text, end):
    path = tmp_path / f"a.txt{end}"
    path.write_bytes(compress(text.encode(), end))
    assert list(documents([path])) == [Document(f"a.txt{end}", text.encode())]


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_bytes_are_kept_as_they_are(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "binary"
    path.write_bytes(data)
    assert list(documents([str(path)])) == [Document("binary", data)]


@pytest.mark.parametrize("end", ["", ".gz", ".zst"])
@pytest.mark.parametrize(("kind", "first"), [("jsonl", 1), ("parquet", 0)])
def test_records(tmp_path, kind, first, end):
    path = tmp_path / f"a.{kind}{end}"
    path.write_bytes(compress(written(kind), end))
    expected = [Document(f"{path.name}:{k}", text.encode()) for k, text in enumerate(TEXTS, start=first)]
    assert list(documents([path])) == expected


def test_another_field_and_blank_lines(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"body": "one"}\n\n   \n{"body": "two"}\n')
    assert list(documents([tmp_path], field="body")) == [Document("a.jsonl:1", b"one"), Document("a.jsonl:4", b"two")]


@pytest.mark.parametrize(
    "column",
    [
        pyarrow.array(["one", "two"], pyarrow.large_string()),
        pyarrow.array([b"one", b"two"], pyarrow.binary()),
        pyarrow.array(["one", "two"]).dictionary_encode(),
    ],
    ids=["large_string", "binary", "dictionary"],
)
def test_parquet_column_types(tmp_path, column):
    pyarrow.parquet.write_table(pyarrow.table({"body": column}), tmp_path / "a.parquet")
    assert [one.data for one in documents([tmp_path], field="body")] == [b"one", b"two"]


def test_folders_are_recursive_and_sorted_without_hidden_files(tmp_path):
    for name in ("b/c.txt", "b/a.txt", "a.txt", "z.txt", ".hidden.txt", ".git/config", "b/.x", "empty/.keep"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link.txt").symlink_to(tmp_path / "z.txt")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [one.name for one in documents([tmp_path])] == ["a.txt", "b/a.txt", "b/c.txt", "link.txt", "z.txt"]
    assert [one.name for one in documents([tmp_path / "z.txt", tmp_path / "b"])] == ["z.txt", "a.txt", "c.txt"]


def names(folder, **options):
    return [one.name for one in documents([folder], **options)]


def test_links_to_folders_are_followed(tmp_path):
    corpus, other = tmp_path / "corpus", tmp_path / "other"
    for name in ("corpus/z/a.txt", "corpus/.store/b.txt", "other/c.txt", "other/in/d.txt", "other/.x/e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    (corpus / "m").symlink_to(other)
    (corpus / "hidden").symlink_to(".store")  # only its own name counts
    assert names(corpus) == ["hidden/b.txt", "m/c.txt", "m/in/d.txt", "z/a.txt"]
    assert next(one.data for one in documents([corpus]) if one.name == "m/in/d.txt") == b"other/in/d.txt"
    (corpus / "a").symlink_to("z")  # a folder keeps its own name
    (corpus / "n").symlink_to(other)  # and is read once
    (corpus / "o").symlink_to(other / "in")
    assert names(corpus) == ["hidden/b.txt", "m/c.txt", "m/in/d.txt", "z/a.txt"]
    (corpus / "b").symlink_to(other / "in")  # before the folder around it
    assert names(corpus) == ["b/d.txt", "hidden/b.txt", "m/c.txt", "z/a.txt"]
    (tmp_path / "start").symlink_to(corpus)
    assert names(tmp_path / "start") == names(corpus)


def test_links_that_lead_back_end(tmp_path):
    corpus, other = tmp_path / "corpus", tmp_path / "other"
    for name in ("corpus/in/a.txt", "other/b.txt", "other/in/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    (corpus / "in" / "self").symlink_to(".")
    (corpus / "in" / "up").symlink_to("../..")
    (corpus / "root").symlink_to("/")
    (corpus / "there").symlink_to(other)
    (other / "back").symlink_to(corpus)
    (other / "in" / "up").symlink_to("..")
    assert names(corpus) == ["in/a.txt", "there/b.txt", "there/in/c.txt"]
    (corpus / "x").symlink_to("y")
    (corpus / "y").symlink_to("x")
    with pytest.raises(CorpusError, match="x: Too many levels"):
        names(corpus)


def test_what_is_left_out(tmp_path):
    for name in ("a.txt", "work/b.txt", "in/work/c.txt", "in/m.bp"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("work")
    (tmp_path / "file").symlink_to("work/b.txt")
    without = [tmp_path / "work", tmp_path / "in" / "." / "m.bp", tmp_path / "none"]
    assert names(tmp_path, without=without) == ["a.txt", "in/work/c.txt"]
    assert names(tmp_path / "work" / "b.txt", without=without) == ["b.txt"]
    for path in ("work", "link", "in/m.bp"):
        found = documents([tmp_path / "a.txt", tmp_path / path], without=without)
        with pytest.raises(CorpusError, match="to be read and to be written"):
            next(found)  # before anything is read


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"piped\n")))
    assert list(documents(["-"])) == [Document("stdin", b"piped\n")]


@pytest.mark.parametrize("kind", ["txt", "jsonl"])
def test_long_documents_are_cut_and_numbered(tmp_path, kind):
    text = "".join(f"line {k}\n" for k in range(1000))
    (tmp_path / f"a.{kind}").write_text(text if kind == "txt" else json.dumps({"text": text}))
    found = list(documents([tmp_path], longest=1000, piece=300))
    base = "a.txt" if kind == "txt" else "a.jsonl:1"
    assert [one.name for one in found] == [f"{base}#{k}" for k in range(len(found))]
    assert b"".join(one.data for one in found) == text.encode()
    assert max(len(one.data) for one in found) < 310


def test_reading_is_streamed(tmp_path, monkeypatch):
    """What is asked for is read, and no more than a chunk of it: the rest may be many gigabytes."""
    monkeypatch.setattr(streams, "CHUNK", 64)
    read = 0

    class Counted(io.BytesIO):
        def read(self, size=-1):
            nonlocal read
            got = super().read(size)
            read += len(got)
            return got

    for name, data in {
        "a.txt": b"word\n" * 10_000,
        "a.jsonl": b'{"text": "word"}\n' * 10_000,
    }.items():
        read = 0
        monkeypatch.setattr(Path, "open", lambda self, mode, data=data: Counted(data))
        found = documents([tmp_path / name], longest=200, piece=50)
        for _ in range(3):
            next(found)
        assert 0 < read < 600
        monkeypatch.undo()
        monkeypatch.setattr(streams, "CHUNK", 64)


def failure(path: Path, **options: str) -> str:
    with pytest.raises(CorpusError) as caught:
        list(documents([path], **options))
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_missing_and_unreadable_files(tmp_path, monkeypatch):
    assert "No such file" in failure(tmp_path / "nothing.txt")
    assert "No such file" in failure(tmp_path / "nothing.parquet")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="broken: No such file"):
        list(documents([tmp_path]))
    (tmp_path / "broken").unlink()
    assert "holds no files" in failure(tmp_path)

    def forbidden(*arguments):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.txt").write_text("x")
    monkeypatch.setattr(Path, "open", forbidden)
    assert "Permission denied" in failure(tmp_path / "a.txt")
    monkeypatch.setattr(readers.os, "scandir", forbidden)
    assert "Permission denied" in failure(tmp_path)


@pytest.mark.parametrize("end", [".gz", ".zst"])
def test_damaged_compressed_files(tmp_path, end):
    path = tmp_path / f"a.txt{end}"
    good = compress(bytes(range(256)) * 40, end)
    for bad in (good[:-5], good[: len(good) // 3], b"not compressed at all", b"", good[:-9] + b"\xff" * 9):
        path.write_bytes(bad)
        assert "again" in failure(path)
    path.write_bytes(compress(b'{"text": "a"}\n{"text"', end)[:-5])
    failure(path.rename(tmp_path / f"a.jsonl{end}"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "a"', "not JSON"),
        ("[1, 2]", "an object"),
        ('"text"', "an object"),
        ('{"texts": "a"}', "did you mean texts"),
        ('{"text": null}', "null"),
        ('{"text": 3}', "int '3'"),
        ('{"text": "\\ud800"}', "no UTF-8 form"),
        ("[" * 100_000, "not JSON"),
        (b'{"text": "\xff"}', "not JSON"),
    ],
)
def test_bad_json_lines_are_named(tmp_path, line, said):
    path = tmp_path / "a.jsonl"
    bad = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(b'{"text": "fine"}\n\n' + bad + b'\n{"text": "fine"}\n')
    message = failure(path)
    assert "line 3" in message
    assert said in message


def test_bad_parquet_files_are_named(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 but no more")
    assert "Parquet" in failure(path)
    good = written("parquet")
    path.write_bytes(good[:-20])
    assert "Parquet" in failure(path)
    path.write_bytes(good)
    assert "did you mean text?" in failure(path, field="texts")
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", None]}), path)
    assert "row 1" in failure(path)
    pyarrow.parquet.write_table(pyarrow.table({"text": [1, 2]}), path)
    assert "expected text" in failure(path)


@pytest.mark.parametrize(("name", "module"), [("a.txt.zst", "zstandard"), ("a.parquet", "pyarrow")])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(MissingExtra, match=r"paribus\[data\]"):
        list(documents([tmp_path / name]))
