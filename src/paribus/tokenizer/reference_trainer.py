"""BytePiece's training in plain Python: the specification of the native trainer.

A byte n-gram model (order 6 by default) cuts the corpus into pieces; the pieces are counted and pruned until they fit
the vocabulary and each of them encodes to itself. Counts are integers and are pruned after all counting only, so the
result depends neither on the order of the documents nor on the number of workers.

Source: 苏剑林, BytePiece：更纯粹、更高压缩率的Tokenizer, 2023-09-07, and the code of bytepiece 0.6.3.
Departure, `revision` 2: where the original scores an unseen n-gram with minus infinity, so that after one rare
character the rest of its line falls apart into single bytes, we back off at bytes that may not begin a piece (see
`log_p`). `revision` 1 is the original.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from paribus.tokenizer.digits import is_digit_at
from paribus.tokenizer.reference import Reference

CHUNK_CHARACTERS = 10_000
CHUNK_NEWLINES = 100
CHUNK_BYTES = 4 * CHUNK_CHARACTERS  # no valid UTF-8 of that many characters is longer; binary data is cut here
BACKOFF = math.log(0.4)  # "stupid back-off" of Brants et al. 2007
N_SPECIAL = 3


def is_continuation(byte: int) -> bool:
    return 0x80 <= byte < 0xC0


def training_chunks(data: bytes, isolate_digits: bool = False) -> Iterator[bytes]:
    """At most 10 000 characters and then at most 100 newlines; with isolate_digits every decimal digit alone.

    A character is a byte that does not continue another. A run over the limit is cut before any newline.
    """
    begin, size = 0, len(data)
    while begin < size:
        digit = is_digit_at(data, begin) if isolate_digits else 0
        if digit:
            yield data[begin : begin + digit]
            begin += digit
            continue
        end, characters = begin, 0
        while end < size and data[end] != 0x0A and end - begin < CHUNK_BYTES:
            if isolate_digits and is_digit_at(data, end):
                break
            if not is_continuation(data[end]):
                if characters == CHUNK_CHARACTERS:
                    break
                characters += 1
            end += 1
        newlines = 0
        while end < size and data[end] == 0x0A and newlines < CHUNK_NEWLINES:
            end += 1
            newlines += 1
        yield data[begin:end]
        begin = end


class NgramModel:
    """ln p(last byte | the bytes before it) of all n-grams up to `order`, from counts within chunks."""

    def __init__(self, counts: Mapping[bytes, int], order: int, min_count: int, revision: int) -> None:
        full = Counter(counts)
        total = sum(full[bytes([b])] for b in range(256))
        for b in range(256):
            if not full[bytes([b])]:
                full[bytes([b])] = 1
                total += 1
        logs = {gram: math.log(n) for gram, n in full.items() if len(gram) == 1 or n >= min_count}
        logs[b""] = math.log(total)
        self.order = order
        self.revision = revision
        self.values = {gram: value - logs[gram[:-1]] for gram, value in logs.items() if gram}

    def log_p(self, gram: bytes) -> float:
        """Seen: ln c(gram) - ln c(its prefix). Unseen: minus infinity; or, in revision 2 and when the last byte may not
        begin a piece, ln 0.4 + log_p of the n-gram without its first byte."""
        value = self.values.get(gram)
        if value is not None:
            return value
        if self.revision == 1 or not is_continuation(gram[-1]):
            return -math.inf
        return BACKOFF + self.log_p(gram[1:])

    def may_start(self, chunk: bytes, at: int) -> bool:
        """A piece begins with a character, so that cuts never fall inside one; a chunk may begin with anything."""
        return not is_continuation(chunk[at]) or (at == 0 and self.revision > 1)

    def segment(self, chunk: bytes) -> list[bytes]:
        """The best cuts. State r of a byte: how many bytes of its piece come before it, order - 1 for that and more.

        a_i[0] = max_r a_{i-1}[r] + log_p(c_i);  a_i[j] = a_{i-1}[j-1] + log_p(c_{i-j} .. c_i);  the last state also
        stays where it is. Among equal sums the lowest r wins.
        """
        last = self.order - 1
        score = [-math.inf] * self.order
        score[0] = self.log_p(chunk[:1]) if self.may_start(chunk, 0) else -math.inf
        routes: list[list[int]] = []
        for i in range(1, len(chunk)):
            start = self.log_p(chunk[i : i + 1]) if self.may_start(chunk, i) else -math.inf
            new, route = [-math.inf] * self.order, [0] * self.order
            for r in range(self.order):
                if score[r] + start > new[0]:
                    new[0], route[0] = score[r] + start, r
            for j in range(1, min(self.order, i + 1)):
                step = self.log_p(chunk[i - j : i + 1])
                for r in (j - 1, j) if j == last else (j - 1,):
                    if score[r] + step > new[j]:
                        new[j], route[j] = score[r] + step, r
            score = new
            routes.append(route)
        state = max(range(self.order), key=lambda r: (score[r], -r))
        states = [state]
        for route in reversed(routes):
            state = route[state]
            states.append(state)
        cuts = [i for i, state in enumerate(reversed(states)) if state == 0]
        return [chunk[s:e] for s, e in zip(cuts, [*cuts[1:], len(chunk)])]


def count_ngrams(texts: Iterable[bytes], order: int, isolate_digits: bool = False) -> Counter[bytes]:
    counts: Counter[bytes] = Counter()
    for text in texts:
        for chunk in training_chunks(text, isolate_digits):
            for i in range(len(chunk)):
                counts.update(chunk[i : i + j] for j in range(1, min(order, len(chunk) - i) + 1))
    return counts


def count_pieces(texts: Iterable[bytes], model: NgramModel, isolate_digits: bool = False) -> Counter[bytes]:
    counts: Counter[bytes] = Counter()
    for text in texts:
        for chunk in training_chunks(text, isolate_digits):
            counts.update(model.segment(chunk))
    return counts


def scores(counts: Mapping[bytes, int]) -> dict[bytes, float]:
    """ln p(piece) = ln count - ln (sum of counts)."""
    log_total = math.log(sum(counts.values()))
    return {piece: math.log(n) - log_total for piece, n in counts.items()}


def split(keep: Mapping[bytes, int], drop: Iterable[tuple[bytes, int]]) -> Counter[bytes]:
    """Cut the pieces of `drop` by the unigram tokenizer of `keep`; their counts go to the parts."""
    values = scores(keep)
    tokenizer = Reference(list(values), list(values.values()))
    flow: Counter[bytes] = Counter()
    for piece, n in drop:
        for token in tokenizer.best(piece):
            flow[tokenizer.pieces[token]] += n
    return flow


def settle(keep: Counter[bytes]) -> Counter[bytes]:
    """Drop pieces whose best segmentation is not themselves, until none is left."""
    while True:
        flow = split(keep, keep.items())
        if len(flow) == len(keep):
            return flow
        keep = flow


def prune(
    counts: Mapping[bytes, int], sizes: Sequence[int], max_piece_length: int, min_count: int
) -> list[Counter[bytes]]:
    """One vocabulary for each size, the largest first, each cut from the one before."""
    full = Counter(counts)
    for b in range(256):
        full[bytes([b])] = full[bytes([b])] or 1
    keep = Counter({p: n for p, n in full.items() if len(p) == 1 or (len(p) <= max_piece_length and n >= min_count)})
    keep = settle(keep + split(keep, [(p, n) for p, n in full.items() if p not in keep]))
    result = []
    for size in sorted(sizes, reverse=True):
        if len(keep) > size - N_SPECIAL:
            ranked = sorted(keep.items(), key=lambda item: (len(item[0]) > 1, -item[1], -len(item[0]), item[0]))
            kept = Counter(dict(ranked[: size - N_SPECIAL]))
            keep = settle(kept + split(kept, ranked[size - N_SPECIAL :]))
        result.append(keep)
    return result


def train(
    texts: Sequence[bytes],
    sizes: Sequence[int],
    order: int = 6,
    max_piece_length: int = 36,
    min_count: int = 32,
    isolate_digits: bool = False,
    revision: int = 2,
) -> list[dict[bytes, int]]:
    """Pieces and counts for each size, the largest first, sorted by (length, bytes) as their ids will be."""
    model = NgramModel(count_ngrams(texts, order, isolate_digits), order, min_count, revision)
    pruned = prune(count_pieces(texts, model, isolate_digits), sizes, max_piece_length, min_count)
    return [dict(sorted(keep.items(), key=lambda item: (len(item[0]), item[0]))) for keep in pruned]
