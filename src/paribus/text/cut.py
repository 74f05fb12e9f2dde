"""Cut long text at line ends, so that memory stays bounded and one file can be divided among splits."""

from collections.abc import Iterable, Iterator


def cut(chunks: Iterable[bytes], longest: int, piece: int) -> Iterator[bytes]:
    """Text of at most `longest` bytes as one piece, longer text as pieces of `piece` bytes or a little more.

    A piece ends after the first line end at or after `piece` bytes; a line that goes on to 4 x `piece` bytes is cut
    there, before the lead byte of a UTF-8 character. The pieces, joined, are the text. At least one piece, maybe
    empty, is given; at most `longest` + 4 x `piece` bytes and one chunk are held.
    """
    held = bytearray()
    long = False
    for chunk in chunks:
        held += chunk
        long = long or len(held) > longest
        start = 0
        while long and (end := _end(held, start, piece)):
            yield bytes(memoryview(held)[start:end])
            start = end
        del held[:start]
    if held or not long:
        yield bytes(held)


def _end(held: bytearray, start: int, piece: int) -> int:
    """Where the piece that begins at `start` ends, or 0 if that is not yet known."""
    last = start + 4 * piece
    line_end = held.find(b"\n", start + piece - 1, last)
    if line_end >= 0:
        return line_end + 1
    if len(held) <= last:
        return 0
    # A character has at most three continuation bytes; bytes that are no UTF-8 are cut where they are.
    for back in range(4):
        if held[last - back] & 0b1100_0000 != 0b1000_0000:
            return last - back
    return last
