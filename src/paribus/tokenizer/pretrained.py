"""The tokenizer as a class of Hugging Face's transformers: `BytePieceTokenizer`, derived from `PreTrainedTokenizer`.

    from paribus.tokenizer.pretrained import BytePieceTokenizer, register

    tokenizer = BytePieceTokenizer("my.bp", bos_token="<bos>", eos_token="<eos>", pad_token="<pad>")
    tokenizer(["one", "two three"], padding=True, return_tensors="np", return_offsets_mapping=True)
    tokenizer.save_pretrained("folder")
    register(); AutoTokenizer.from_pretrained("folder")

The class is made when it is first asked for, so that importing this module needs no transformers. A saved folder also
holds `tokenizer.json`, with which AutoTokenizer gives Hugging Face's own engine where paribus is not there or not
registered: the same tokens, more slowly.

As everywhere in transformers, special tokens are recognised inside texts; pass split_special_tokens=True for text that
nobody vouches for. Text only: arbitrary bytes are for `paribus.Tokenizer`.
"""

import os
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from paribus.core.errors import ConfigError, InputError, optional
from paribus.tokenizer.alphabet import byte_letters, spell
from paribus.tokenizer.convert import named, write_hugging_face
from paribus.tokenizer.tokenizer import Tokenizer

FILE = "tokenizer.bp"
_PATTERNS = {(False, False): "none", (True, False): "bos", (False, True): "eos", (True, True): "bos_eos"}


def __getattr__(name: str) -> Any:
    if name == "BytePieceTokenizer":
        return _made()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def register() -> None:
    """Tell AutoTokenizer of the class, so that it loads folders that the class saved. Calling it twice is harmless."""
    transformers = optional("transformers", "transformers")

    class BytePieceConfig(transformers.PretrainedConfig):  # type: ignore[misc, name-defined]
        model_type = "paribus-bytepiece"

    transformers.AutoTokenizer.register(BytePieceConfig, _made(), exist_ok=True)


def character_offsets(text: str, lengths: list[int]) -> list[tuple[int, int]]:
    """The characters that each piece touches, as (first, behind the last), for pieces of so many bytes of UTF-8.

    A piece that holds a part of a character has the whole of it, as with Hugging Face's engine.

    >>> character_offsets("aé", [1, 1, 1])
    [(0, 1), (1, 2), (1, 2)]
    """
    # The character to which each byte belongs.
    bytes_of = [len(character.encode()) for character in text]
    owner = np.repeat(np.arange(len(text)), bytes_of).tolist()
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    return [(owner[end - size], owner[end - 1] + 1) for end, size in zip(ends, lengths)]


@lru_cache(maxsize=1)
def _made() -> Any:
    base = optional("transformers", "transformers").PreTrainedTokenizer
    members = {name: member for name, member in vars(_Members).items() if name not in ("__dict__", "__weakref__")}
    members |= {"__module__": __name__, "__qualname__": "BytePieceTokenizer", "_base": base}
    return type(base)("BytePieceTokenizer", (base,), members)


class _Members:
    """BytePiece as transformers knows tokenizers: its tokens are pieces spelled in GPT-2's letters for bytes.

    vocab_file: a `.bp` model. add_bos_token, add_eos_token: what `add_special_tokens=True`, the default, adds.
    Raises ConfigError for a model in which a special token has the spelling of a piece.
    """

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": FILE}
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]
    padding_side = "right"
    _base: Any

    def __init__(
        self: Any, vocab_file: str, add_bos_token: bool = False, add_eos_token: bool = False, **options: Any
    ) -> None:
        self.own = Tokenizer.load(vocab_file)
        self.vocab_file = os.fspath(vocab_file)
        names = named(self.own.vocabulary)
        self._spelled = [names.get(i) or spell(piece) for i, piece in enumerate(self.own.pieces)]
        self._ids = {word: i for i, word in enumerate(self._spelled)}
        if len(self._ids) != len(self._spelled):
            twice = next(name for name in names.values() if spell(name.encode()) in map(spell, self.own.pieces))
            raise ConfigError(f"the special token {twice!r} has the spelling of a piece: transformers cannot tell them")
        self._byte_of = {letter: byte for byte, letter in enumerate(byte_letters())}
        for word in ("bos", "eos", "pad"):
            if f"<{word}>" in self.own.specials:
                options.setdefault(f"{word}_token", f"<{word}>")
        options["special_tokens_pattern"] = _PATTERNS[add_bos_token, add_eos_token]
        self._base.__init__(self, add_bos_token=add_bos_token, add_eos_token=add_eos_token, **options)

    @property
    def vocab_size(self) -> int:
        return len(self._spelled)

    def get_vocab(self: Any) -> dict[str, int]:
        return {**self._ids, **self._added_tokens_encoder}

    def _tokenize(self: Any, text: str, **_: Any) -> list[str]:
        return [self._spelled[i] for i in self.own.encode(text).tolist()]

    def _convert_token_to_id(self: Any, token: str) -> int:
        if token not in self._ids:
            raise InputError(f"{token!r} is no token of this vocabulary: tokens are pieces in GPT-2's byte letters")
        return int(self._ids[token])

    def _convert_id_to_token(self: Any, index: int) -> str:
        if not 0 <= index < len(self._spelled):
            raise ConfigError(f"token {index} is not in the vocabulary of {len(self._spelled)}")
        return str(self._spelled[index])

    def convert_tokens_to_string(self: Any, tokens: list[str]) -> str:
        """Bytes that are no UTF-8 become U+FFFD; tokens that part a character must be joined before."""
        data = bytearray()
        for token in tokens:
            special = token in self._added_tokens_encoder or token in self.own.specials
            data += token.encode() if special else bytes(self._byte_of[letter] for letter in token)
        return data.decode("utf-8", "replace")

    def save_vocabulary(self: Any, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        path = os.path.join(save_directory, prefix + FILE)
        self.own.save(path)
        write_hugging_face(self.own, os.path.join(save_directory, prefix + "tokenizer.json"))
        return (path,)

    def _encode_plus(
        self: Any, text: Any, text_pair: Any = None, *args: Any, return_offsets_mapping: bool = False, **options: Any
    ) -> Any:
        if not return_offsets_mapping:
            return self._base._encode_plus(self, text, text_pair, *args, **options)
        if text_pair is not None or self.own.nfc or options.get("is_split_into_words"):
            raise InputError(
                "offsets are given for single texts, as they stand: not for pairs, not for words split before, and "
                "not by a model that composes characters (NFC)"
            )
        wanted = {name: options.get(name, False) for name in ("return_tensors", "return_special_tokens_mask")}
        plain = {**options, "return_tensors": None, "return_special_tokens_mask": True}
        found = self._base._encode_plus(self, text, None, *args, **plain)
        batched = isinstance(text, (list, tuple))
        texts, masks = (text, found["special_tokens_mask"]) if batched else ([text], [found["special_tokens_mask"]])
        side = self.truncation_side
        split = options.get("split_special_tokens", self.split_special_tokens)
        offsets = [_placed(self._offsets(one, split), mask, side) for one, mask in zip(texts, masks)]
        found["offset_mapping"] = offsets if batched else offsets[0]
        if not wanted["return_special_tokens_mask"]:
            del found["special_tokens_mask"]
        if wanted["return_tensors"]:
            return type(found)(found.data, tensor_type=wanted["return_tensors"], prepend_batch_axis=not batched)
        return found

    def _offsets(self: Any, text: str, split: bool) -> list[tuple[int, int]]:
        lengths = []
        for token in self.tokenize(text, split_special_tokens=split):
            special = token in self._added_tokens_encoder or token in self.own.specials
            lengths.append(len(token.encode()) if special else len(token))
        return character_offsets(text, lengths)


def _placed(offsets: list[tuple[int, int]], mask: list[int], side: str) -> list[tuple[int, int]]:
    """Offsets of a row of tokens: (0, 0) where a special token or padding was added, the text's own in between."""
    kept = len(mask) - sum(mask)
    own = iter(offsets[:kept] if side == "right" else offsets[len(offsets) - kept :])
    return [(0, 0) if special else next(own) for special in mask]
