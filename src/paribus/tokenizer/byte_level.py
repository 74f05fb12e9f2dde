"""Byte-level BPE of a checkpoint, through Hugging Face's `tokenizers`: bytes in, bytes out, never with a silent loss.

What is text becomes exactly the library's tokens. Bytes that are no UTF-8, which the library cannot read, become their
single-byte tokens. Some vocabularies lack tokens for rare bytes; the library drops such a byte, here it is an error.
"""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.core.config import require
from paribus.core.errors import InputError, optional


def byte_letters() -> list[str]:
    """The letter that stands for each byte: itself where it can be printed, else one from 256 on (GPT-2's table)."""
    printed = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printed]
    return [chr(byte) if byte in printed else chr(256 + others.index(byte)) for byte in range(256)]


class ByteLevelBPE:
    """described: the content of a `tokenizer.json`. Raises InputError for one of another kind."""

    def __init__(self, described: str) -> None:
        library = optional("tokenizers", "checkpoints")
        try:
            told = json.loads(described)
        except ValueError as error:
            raise InputError(f"tokenizer.json is damaged ({error}): download it again") from error
        _check(told)
        self.described = described
        try:
            self.engine: Any = library.Tokenizer.from_str(described)
        except Exception as error:  # the library has no narrower class
            raise InputError(f"tokenizer.json cannot be read ({error}): download it again") from error
        # Some files ask for texts of one length; here no text is cut.
        self.engine.no_truncation()
        self.engine.no_padding()
        self.special = {token["id"] for token in told.get("added_tokens", [])}
        # Ids may have gaps, so that there can be more of them than tokens.
        self.vocab_size: int = 1 + max(self.engine.get_vocab(with_added_tokens=True).values())

    @cached_property
    def begin(self) -> tuple[int, ...]:
        """Ids that tokenizer.json sets before every text, such as one that says that a text begins."""
        bare, whole = (self.engine.encode("a", add_special_tokens=given).ids for given in (False, True))
        at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
        return tuple(whole[:at])

    @cached_property
    def _bytes_of(self) -> list[bytes]:
        """What each id stands for."""
        byte_of = {letter: byte for byte, letter in enumerate(byte_letters())}
        table = [b""] * self.vocab_size
        for token, number in self.engine.get_vocab(with_added_tokens=True).items():
            table[number] = token.encode() if number in self.special else bytes(byte_of[letter] for letter in token)
        return table

    @cached_property
    def _missing(self) -> frozenset[int]:
        """Bytes without a token."""
        return frozenset(byte for byte, letter in enumerate(byte_letters()) if self.engine.token_to_id(letter) is None)

    def encode(self, data: bytes) -> npt.NDArray[np.int64]:
        """The ids of the bytes, shape (n,); text that spells a special token is read as that token's letters.

        Raises InputError for a byte that the vocabulary cannot say.
        """
        if lost := sorted(set(data) & self._missing):
            raise InputError(
                f"the text has the byte 0x{lost[0]:02X} at {data.index(lost[0])}, for which the checkpoint's "
                "vocabulary has no token: remove or replace it"
            )
        ids: list[int] = []
        for text, bare in _runs(data):
            if bare:
                letters = byte_letters()
                ids += [self.engine.token_to_id(letters[byte]) for byte in bare]
            else:
                ids += self._encode_text(text)
        return np.array(ids, dtype=np.int64)

    def _encode_text(self, text: str) -> list[int]:
        # The library would take the letters of a special token in untrusted text for the token itself.
        self.engine.encode_special_tokens = True
        return list(self.engine.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: npt.ArrayLike) -> bytes:
        numbers = np.asarray(ids).reshape(-1).tolist()
        for number in numbers:
            require(
                0 <= number < self.vocab_size,
                f"token {number}: the vocabulary has ids 0 to {self.vocab_size - 1}; use the model's own tokenizer",
            )
        return b"".join(self._bytes_of[number] for number in numbers)


def _runs(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The data as pieces that are UTF-8, each as (text, b""), and pieces that are not, each as ("", bytes)."""
    # Every undecodable byte becomes one lone surrogate, which no text has.
    decoded = data.decode("utf-8", "surrogateescape")
    begin = 0
    while begin < len(decoded):
        is_bare = "\udc80" <= decoded[begin] <= "\udcff"
        end = begin + 1
        while end < len(decoded) and ("\udc80" <= decoded[end] <= "\udcff") == is_bare:
            end += 1
        piece = decoded[begin:end]
        yield ("", piece.encode("utf-8", "surrogateescape")) if is_bare else (piece, b"")
        begin = end


EMPTY = {"type": "Sequence", "normalizers": []}  # changes nothing


def _check(told: Any) -> None:
    if not isinstance(told, dict):
        raise InputError("tokenizer.json holds no JSON object: download it again")
    kind, decoder = ((told.get(name) or {}).get("type") for name in ("model", "decoder"))
    if kind != "BPE" or decoder != "ByteLevel":
        raise InputError(
            f"the checkpoint's tokenizer is {kind} with the decoder {decoder}: only byte-level BPE can be read here; "
            "encode the text with transformers and give the model its ids"
        )
    if (told.get("normalizer") or EMPTY) != EMPTY:
        raise InputError(
            f"the checkpoint's tokenizer normalises text ({told['normalizer'].get('type')}), which loses bytes: encode "
            "the text with transformers and give the model its ids"
        )
