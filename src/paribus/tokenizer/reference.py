"""BytePiece in plain Python: the specification that the native core is held against.

A text is cut into chunks (a run without newlines and the newlines that follow it); no piece reaches over a cut. In a
chunk the best segmentation maximises the sum of ln p(piece); all sums are doubles, added from the left.

    score[0] = 0,    score[e] = max over pieces w ending at e of score[e - |w|] + ln p(w)

Among equal sums the longest last piece wins. Every single byte is a piece, so every text has a segmentation.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence

_CHUNK = re.compile(rb"[^\n]*\n+|[^\n]+")
_MASK = (1 << 64) - 1


def chunks(data: bytes) -> Iterator[bytes]:
    """
    >>> list(chunks(b"one\\n\\ntwo"))
    [b'one\\n\\n', b'two']
    """
    return (match.group() for match in _CHUNK.finditer(data))


def compose(data: bytes) -> bytes:
    """What a model with NFC reads: each longest stretch of valid UTF-8 composed, other bytes as they are.

    Nothing composes over a newline, so the lines of a text may be composed one by one.

    >>> compose("cafe\\u0301".encode() + b"\\xff" + "e\\u0301".encode())
    b'caf\\xc3\\xa9\\xff\\xc3\\xa9'
    """
    done = b""
    while True:
        try:
            return done + unicodedata.normalize("NFC", data.decode()).encode()
        except UnicodeDecodeError as error:
            done += unicodedata.normalize("NFC", data[: error.start].decode()).encode() + data[error.start : error.end]
            data = data[error.end :]


def mix(x: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014), 64 bits to 64 bits."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def uniform(seed: int, document: int, position: int) -> float:
    """A number of [0, 1) for one byte position of one document."""
    return (mix(mix(mix(seed) ^ document) ^ position) >> 11) * 2.0**-53


class Reference:
    """pieces[id] with its ln p(piece) = scores[id]; an empty piece is a special token and is never produced."""

    def __init__(self, pieces: Sequence[bytes], scores: Sequence[float]) -> None:
        self.pieces = list(pieces)
        self.scores = [float(score) for score in scores]
        self.ids = {piece: i for i, piece in enumerate(self.pieces) if piece}
        self.longest = max(map(len, self.ids))

    def matches(self, chunk: bytes, end: int) -> Iterator[tuple[int, int]]:
        """(start, id) of the pieces that end at `end`, the longest first."""
        for start in range(max(0, end - self.longest), end):
            found = self.ids.get(chunk[start:end])
            if found is not None:
                yield start, found

    def best(self, chunk: bytes) -> list[int]:
        """The ids of the best segmentation of one stretch of bytes, newlines being nothing special."""
        score = [0.0] + [-math.inf] * len(chunk)
        last = [(0, 0)] * (len(chunk) + 1)
        for end in range(1, len(chunk) + 1):
            for start, found in self.matches(chunk, end):
                total = score[start] + self.scores[found]
                if total > score[end]:
                    score[end], last[end] = total, (start, found)
        return self._back(last)

    def encode(self, data: bytes) -> list[int]:
        return [token for chunk in chunks(data) for token in self.best(chunk)]

    def decode(self, ids: Sequence[int]) -> bytes:
        return b"".join(self.pieces[i] for i in ids)

    def sample(self, data: bytes, alpha: float, seed: int, document: int = 0) -> list[int]:
        """Draw a segmentation with probability proportional to the product of p(piece)^alpha.

        ln Z[e] = ln sum over w of Z[e - |w|] p(w)^alpha from the left; then from the end the last piece is drawn with
        probability Z[e - |w|] p(w)^alpha / Z[e], the pieces in order from the longest, with the random number of
        (seed, document, byte position of its end). The shares are set against the largest and divided by their sum,
        so that they sum to one however large the logarithms are.
        """
        ids: list[int] = []
        origin = 0
        for chunk in chunks(data):
            log_z = self.log_partition(chunk, alpha)
            drawn = []
            end = len(chunk)
            while end > 0:
                pieces = list(self.matches(chunk, end))
                terms = [log_z[start] + alpha * self.scores[found] for start, found in pieces]
                shares = [math.exp(term - max(terms)) for term in terms]
                target, total = uniform(seed, document, origin + end) * sum(shares), 0.0
                for (start, found), share in zip(pieces, shares):  # noqa: B007
                    total += share
                    if target < total:
                        break
                drawn.append(found)
                end = start
            ids += reversed(drawn)
            origin += len(chunk)
        return ids

    def log_partition(self, chunk: bytes, alpha: float) -> list[float]:
        """ln Z[e] for e = 0 .. len(chunk)."""
        log_z = [0.0]
        for end in range(1, len(chunk) + 1):
            terms = [log_z[start] + alpha * self.scores[found] for start, found in self.matches(chunk, end)]
            high = max(terms)
            log_z.append(high + math.log(sum(math.exp(term - high) for term in terms)))
        return log_z

    @staticmethod
    def _back(last: list[tuple[int, int]]) -> list[int]:
        ids = []
        end = len(last) - 1
        while end > 0:
            end, found = last[end]
            ids.append(found)
        return ids[::-1]
