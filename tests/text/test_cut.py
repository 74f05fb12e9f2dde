"""Cutting long text: nothing lost, lines whole, characters whole, independent of the chunks it came in."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from paribus.text.cut import cut

texts = st.one_of(
    st.binary(max_size=400),
    st.text(alphabet="ab\n", max_size=400).map(str.encode),
    st.text(alphabet="é漢😀\n", max_size=150).map(str.encode),
)


@given(texts, st.integers(1, 200), st.integers(1, 60), st.lists(st.integers(0, 400), max_size=5))
def test_pieces_join_to_the_text_and_do_not_depend_on_chunks(data, longest, piece, borders):
    edges = [0, *sorted(min(b, len(data)) for b in borders), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise(edges)]
    pieces = list(cut(chunks, longest, piece))
    assert b"".join(pieces) == data
    assert pieces == list(cut([data], longest, piece))
    if len(data) <= longest:
        assert pieces == [data]
    else:
        assert all(0 < len(one) <= 4 * piece for one in pieces)


@given(st.lists(st.text(alphabet="abc", max_size=30), max_size=40), st.integers(31, 60))
def test_lines_that_are_short_enough_stay_whole(lines, piece):
    data = "".join(line + "\n" for line in lines).encode()
    *full, _last = cut([data], longest=0, piece=piece)
    for one in full:
        assert one.endswith(b"\n")
        assert piece <= len(one) < piece + 31


@given(st.text(alphabet="é漢😀", min_size=1, max_size=200), st.integers(1, 20))
def test_a_line_without_end_is_cut_between_characters(text, piece):
    assert "".join(one.decode() for one in cut([text.encode()], longest=0, piece=piece)) == text


def test_an_empty_text_is_one_empty_piece():
    assert list(cut([], 10, 5)) == [b""]


def test_a_line_end_at_exactly_the_length_of_a_piece_ends_it():
    assert list(cut([b"ab\ncd\ne"], longest=6, piece=3)) == [b"ab\n", b"cd\n", b"e"]
    assert list(cut([b"ab\ncd\n"], longest=6, piece=3)) == [b"ab\ncd\n"]
