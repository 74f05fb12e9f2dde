"""The tokenizer: text or bytes to ids and back, exact, without loss, on as many threads as there are."""

import json
import os
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.core.errors import ConfigError, nearest
from paribus.tokenizer import _native, vocabulary
from paribus.tokenizer.lattice import Lattice, Marginal
from paribus.tokenizer.stream import Decoder, Encoder
from paribus.tokenizer.text import compose, decode, to_bytes
from paribus.tokenizer.vocabulary import SCHEMA, Vocabulary

Ids = npt.NDArray[np.uint32]
# Logarithms grow with alpha times the length of a line; from here on they would lose what parts one path from another.
MAX_ALPHA = 1e6


class Tokenizer:
    """A byte-level unigram tokenizer: the segmentation into pieces that maximises the sum of ln p(piece).

    Every byte is a piece, so nothing is unknown and decode(encode(data)) == data for all bytes (unless the model was
    made with NFC, which it records). Safe to use from several threads.

    >>> from paribus import Tokenizer
    >>> tokenizer = Tokenizer.train(["a text to learn from, a text"] * 9, vocab_size=300, min_count=2)
    >>> tokenizer.decode_text(tokenizer.encode("a text"))
    'a text'
    """

    def __init__(self, model: _native.Model) -> None:
        self._model = model
        meta = json.loads(model.meta)
        if meta.get("schema") != SCHEMA:
            raise ConfigError(f"the model has the schema {meta.get('schema')!r}, expected {SCHEMA!r}")
        self.nfc: bool = meta["nfc"]
        self.specials: dict[str, int] = meta["specials"]
        self.training: dict[str, Any] = meta["training"]
        self._pieces: list[bytes] | None = None
        self._ids: dict[bytes, int] | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tokenizer":
        """A model file, mapped into memory. Raises ConfigError for a file that is missing, damaged or foreign."""
        return cls(vocabulary.load(path))

    @classmethod
    def from_vocabulary(cls, vocabulary: Vocabulary) -> "Tokenizer":
        return cls(vocabulary.model())

    @classmethod
    def train(cls, corpus: Any, vocab_size: int = 32000, **options: Any) -> "Tokenizer":
        """Learn a vocabulary from texts or from files; see `paribus.tokenizer.train.train` for the options."""
        from paribus.tokenizer.train import train

        return train(corpus, [vocab_size], **options)[0]

    def save(self, path: str | os.PathLike[str]) -> None:
        vocabulary.write(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The content of the model file."""
        return self._model.to_bytes()

    @property
    def vocab_size(self) -> int:
        """Ids are in [0, vocab_size), special tokens included."""
        return self._model.n_tokens

    @property
    def vocabulary(self) -> Vocabulary:
        return vocabulary.read(self._model)

    @property
    def pieces(self) -> list[bytes]:
        """The bytes of each id; none for special tokens."""
        if self._pieces is None:
            self._pieces = self._model.pieces()
        return self._pieces

    def id_of(self, piece: bytes | str) -> int:
        """The id of a piece (bytes) or of a special token (str). Raises ConfigError if there is none."""
        if isinstance(piece, str):
            if piece not in self.specials:
                raise ConfigError(f"no special token {piece!r}: {nearest(piece, self.specials)}")
            return self.specials[piece]
        if self._ids is None:
            self._ids = {one: i for i, one in enumerate(self.pieces) if one}
        if piece not in self._ids:
            raise ConfigError(f"{piece!r} is not a piece of this vocabulary")
        return self._ids[piece]

    def encode(self, text: bytes | str, allowed: Collection[str] = ()) -> Ids:
        """The ids of the best segmentation, shape (n,).

        allowed: special tokens that are recognised in the text. By default none is: `<eos>` inside an untrusted text
            is five characters, never the token.
        """
        if allowed:
            return self.encode_batch([text], threads=1, allowed=allowed)[0]
        return self._model.encode(self._bytes(text))

    def encode_batch(
        self, texts: Sequence[bytes | str], threads: int | None = None, allowed: Collection[str] = ()
    ) -> list[Ids]:
        """`encode` of each text, on several threads (default: one a core); the result does not depend on them."""
        if allowed:
            return self._encode_with(texts, allowed, threads)
        flat, offsets = self._model.encode_batch(self._documents(texts), threads_of(threads))
        return _split(flat, offsets)

    def sample(self, text: bytes | str, alpha: float, seed: int, document: int = 0) -> Ids:
        """Draw a segmentation with probability proportional to the product of p(piece)^alpha.

        alpha: 0 to 10^6; 0 is uniform over all segmentations, 1 the model's posterior, large values near `encode`.
        seed, document: whole numbers of [0, 2^64); equal ones draw the same.
        """
        return self._model.sample(self._bytes(text), _alpha(alpha), _whole("seed", seed), _whole("document", document))

    def sample_batch(
        self, texts: Sequence[bytes | str], alpha: float, seed: int, document: int = 0, threads: int | None = None
    ) -> list[Ids]:
        """`sample` of each text with document, document + 1, ..."""
        data = self._documents(texts)
        places = _whole("seed", seed), _whole("document", document)
        return _split(*self._model.sample_batch(data, _alpha(alpha), *places, threads_of(threads)))

    def decode(self, ids: Iterable[int] | npt.NDArray[np.integer]) -> bytes:
        """The bytes of the ids; special tokens stand for none. Raises ConfigError for unknown ids."""
        return decode(self._model, ids)

    def decode_text(self, ids: Iterable[int] | npt.NDArray[np.integer], errors: str = "strict") -> str:
        """The bytes as UTF-8. Tokens may part a character; errors is that of bytes.decode."""
        return self.decode(ids).decode("utf-8", errors)

    def encoder(self) -> Encoder:
        """For text that comes in parts."""
        if self.nfc:
            raise ConfigError("a model with NFC cannot encode a stream: composition may cross any border; use encode")
        return Encoder(self._model)

    def decoder(self, errors: str = "strict") -> Decoder:
        """For ids that come one by one."""
        return Decoder(self._model, errors)

    def nbest(self, text: bytes | str, n: int) -> list[tuple[float, Ids]]:
        """(ln p, ids) of the n most probable segmentations, the best first."""
        if not isinstance(n, int) or not 1 <= n < 1 << 63:
            raise ConfigError(f"n = {n!r}: expected a whole number from 1 on, below 2^63")
        scores, ids = self._model.nbest(self._bytes(text), n)
        return list(zip(scores.tolist(), ids))

    def marginals(self, text: bytes | str, alpha: float = 1.0) -> list[Marginal]:
        """The probability of each piece at each place, when segmentations are drawn as by `sample`."""
        return list(map(Marginal._make, zip(*(each.tolist() for each in self.marginal_arrays(text, alpha)))))

    def marginal_arrays(
        self, text: bytes | str, alpha: float = 1.0
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], Ids, npt.NDArray[np.float64]]:
        """`marginals` as arrays (starts, ends, ids, probabilities), by end and from the longest piece."""
        return self._model.marginals(self._bytes(text), _alpha(alpha))

    def entropy(self, text: bytes | str, alpha: float = 1.0) -> float:
        """Entropy of the segmentations that `sample` draws, in nats."""
        return self._model.entropy(self._bytes(text), _alpha(alpha))

    def with_specials(self, names: Iterable[str]) -> "Tokenizer":
        """The same tokenizer with more special tokens, whose ids follow the last one.

        names: a list of strings; a name that the tokenizer has stays what it is. Raises ConfigError for one that is
        empty, comes twice or has no UTF-8 form.
        """
        if isinstance(names, (str, bytes)):
            raise ConfigError(f"expected a list of names of special tokens, got {names!r}: put it into a list")
        own = self.vocabulary
        named = list(names)
        for name in named:
            if not isinstance(name, str) or not name:
                raise ConfigError(f"special token {name!r}: expected a name, a string that is not empty")
            if any("\ud800" <= letter <= "\udfff" for letter in name):
                raise ConfigError(f"special token {name!r}: a lone surrogate has no UTF-8 form; choose another name")
            if named.count(name) > 1:
                raise ConfigError(f"special token {name!r} is named {named.count(name)} times: name it once")
        new = [name for name in named if name not in own.specials]
        ids = {name: self.vocab_size + i for i, name in enumerate(new)}
        return Tokenizer.from_vocabulary(
            Vocabulary(
                pieces=[*own.pieces, *[b""] * len(new)],
                scores=np.concatenate([own.scores, np.zeros(len(new))]),
                counts=np.concatenate([own.counts, np.zeros(len(new), dtype=np.uint64)]),
                specials={**own.specials, **ids},
                nfc=own.nfc,
                training=own.training,
            )
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_bytes, (self.to_bytes(),)

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size})"

    def _bytes(self, text: bytes | str) -> bytes:
        data = to_bytes(text)
        return compose(data) if self.nfc else data

    def _documents(self, texts: Sequence[bytes | str]) -> list[bytes]:
        _refuse_one(texts)
        return [self._bytes(text) for text in texts]

    def _encode_with(self, texts: Sequence[bytes | str], allowed: Collection[str], threads: int | None) -> list[Ids]:
        ids = {name.encode(): self.id_of(name) for name in allowed}
        pattern = b"|".join(re.escape(name) for name in sorted(ids, key=len, reverse=True))
        _refuse_one(texts)
        # Of each text: plain, special, plain, ... , plain.
        cut = [re.split(b"(" + pattern + b")", to_bytes(text)) for text in texts]
        plain = iter(self.encode_batch([part for parts in cut for part in parts[::2]], threads))
        specials = {part: np.array([id_], dtype=np.uint32) for part, id_ in ids.items()}
        return [
            np.concatenate([specials[part] if place % 2 else next(plain) for place, part in enumerate(parts)])
            for parts in cut
        ]

    def lattice(self, text: bytes | str) -> Lattice:
        """The plain-Python twin of nbest, marginals and entropy, over this vocabulary."""
        data = self._bytes(text)
        return Lattice.of(data, *self._model.matches(data), self.pieces, self._model.scores())


def _from_bytes(data: bytes) -> Tokenizer:
    return Tokenizer(_native.Model.from_bytes(data))


def _refuse_one(texts: Sequence[bytes | str]) -> None:
    if isinstance(texts, (str, bytes)):
        raise ConfigError("expected a list of texts, got a single one: use encode or sample, or put it into a list")


def _split(flat: Ids, offsets: npt.NDArray[np.int64]) -> list[Ids]:
    bounds = offsets.tolist()
    return [flat[begin:end] for begin, end in pairwise(bounds)]


def threads_of(threads: int | None, name: str = "threads") -> int:
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not isinstance(threads, int) or threads < 1:
        raise ConfigError(f"{name} = {threads!r}: expected a whole number from 1 on, or None for one a core")
    return threads


def _whole(name: str, value: int) -> int:
    if not isinstance(value, (int, np.integer)) or not 0 <= value < 1 << 64:
        raise ConfigError(f"{name} = {value!r}: expected a whole number of [0, 2^64)")
    return int(value)


def _alpha(alpha: float) -> float:
    if not isinstance(alpha, (int, float, np.integer, np.floating)) or not 0 <= alpha <= MAX_ALPHA:
        raise ConfigError(
            f"alpha = {alpha!r}: expected a number of [0, {MAX_ALPHA:.0f}]; for the best segmentation use encode"
        )
    return float(alpha)
