"""Where tokens must end."""

from hypothesis import given
from hypothesis import strategies as st

from paribus.tokenizer.reference import chunks
from paribus.tokenizer.words import lines, stretches, words

MIXED = st.one_of(st.binary(max_size=80), st.text("aé的 \n\t'12_.�\u0301", max_size=40).map(str.encode))


@given(MIXED)
def test_nothing_is_lost(data: bytes) -> None:
    assert b"".join(words(data)) == b"".join(lines(data)) == data
    assert all(words(data)) or data == b""


@given(MIXED)
def test_lines_are_the_chunks_of_bytepiece(data: bytes) -> None:
    assert lines(data) == list(chunks(data)) == stretches(data, borders=False)


def test_words_are_those_of_gpt2() -> None:
    text = "it's  12 foo_bar…的字\n\n  x=3"
    found = ["it", "'s", " ", " 12", " foo", "_", "bar", "…", "的字", "\n\n ", " x", "=", "3"]
    assert [word.decode() for word in words(text.encode())] == found
    assert words(b"a\xffb \xe7\x9a") == [b"a", b"\xff", b"b", b" \xe7\x9a"]
