"""The user's own texts."""

import pytest

from paribus.core.errors import ConfigError, CorpusError
from paribus.text.corpora.folder import LONGEST, PIECE, Folder


def test_one_long_file_becomes_many_documents(tmp_path):
    text = b"".join(b"line %d\n" % k for k in range(20_000))
    (tmp_path / "book.txt").write_bytes(text)
    found = list(Folder(path=str(tmp_path / "book.txt")).documents())
    assert [one.name for one in found] == [f"book.txt#{k}" for k in range(len(found))]
    assert b"".join(one.data for one in found) == text
    assert all(PIECE <= len(one.data) < PIECE + 20 for one in found[:-1])


def test_a_file_of_the_greatest_length_stays_whole(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"line\n" * (LONGEST // 5) + b"+" * (LONGEST % 5))
    assert [one.name for one in Folder(path=str(tmp_path)).documents()] == ["a.txt"]
    (tmp_path / "a.txt").write_bytes(b"line\n" * (LONGEST // 5) + b"+" * (LONGEST % 5 + 1))
    assert [one.name for one in Folder(path=str(tmp_path)).documents()] == [f"a.txt#{k}" for k in range(4)]


def test_names_do_not_depend_on_where_the_folder_lies(tmp_path):
    for place in ("here", "there"):
        (tmp_path / place / "sub").mkdir(parents=True)
        (tmp_path / place / "sub" / "a.txt").write_text("a")
    here, there = (list(Folder(path=str(tmp_path / place)).documents()) for place in ("here", "there"))
    assert here == there


def test_bad_paths(tmp_path):
    with pytest.raises(ConfigError, match="empty"):
        Folder(path="")
    with pytest.raises(ConfigError, match="save it to a file"):
        Folder(path="-")
    with pytest.raises(CorpusError, match="No such file"):
        list(Folder(path=str(tmp_path / "nothing")).documents())
