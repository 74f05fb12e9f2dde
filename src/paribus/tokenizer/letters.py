"""Models of Hugging Face's engine over bytes: each byte spelled as a letter, so that nothing is unknown or lost."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.core.errors import ConfigError, optional
from paribus.tokenizer.alphabet import LETTERS, byte_letters, spell
from paribus.tokenizer.learned import Engine, Ids
from paribus.tokenizer.words import stretches

_KEPT = 1 << 16  # stretches whose ids are remembered


def learn(documents: Sequence[bytes], borders: bool, model: str, trainer: str, **settings: Any) -> bytes:
    """A `tokenizer.json` of the engine's model and trainer of these names, learned from stretches of the documents."""
    engines = optional("tokenizers", "peers")
    engine = engines.Tokenizer(getattr(engines.models, model)())
    own = getattr(engines.trainers, trainer)(initial_alphabet=byte_letters(), show_progress=False, **settings)
    with _one_thread():
        engine.train_from_iterator(_spelled(documents, borders), own)
    text: str = engine.to_str()
    return json.dumps(json.loads(text), ensure_ascii=False).encode()


def _spelled(documents: Iterable[bytes], borders: bool) -> Iterator[str]:
    return (spell(stretch) for text in documents for stretch in stretches(text, borders))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of doubles in one order, whatever the machine."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class Letters(Engine):
    """What `learn` gave, ready for use."""

    def __init__(self, path: Path, borders: bool) -> None:
        self.model = optional("tokenizers", "peers").Tokenizer.from_file(str(path)).model
        self.borders = borders
        byte_of = {letter: byte for byte, letter in LETTERS.items()}
        vocab = json.loads(path.read_bytes())["model"]["vocab"]
        # BPE: {text: id}; Unigram: [[text, score], ...]
        words = sorted(vocab, key=vocab.__getitem__) if isinstance(vocab, dict) else [text for text, _ in vocab]
        self.pieces = [bytes(byte_of[letter] for letter in word) for word in words]
        self.known: dict[bytes, list[int]] = {}

    def encode(self, data: bytes) -> Ids:
        ids: list[int] = []
        for stretch in stretches(data, self.borders):
            ids += self._stretch(stretch)
        return np.array(ids, dtype=np.uint32)

    def _stretch(self, stretch: bytes) -> list[int]:
        found = self.known.get(stretch)
        if found is None:
            if len(self.known) >= _KEPT:
                self.known.clear()
            found = self.known[stretch] = [token.id for token in self.model.tokenize(spell(stretch))]
        return found

    def decode(self, ids: npt.NDArray[np.integer]) -> bytes:
        given = ids.tolist()
        if given and not 0 <= min(given) <= max(given) < len(self.pieces):
            raise ConfigError(f"ids from {min(given)} to {max(given)}: expected [0, {len(self.pieces)})")
        return b"".join(self.pieces[i] for i in given)
