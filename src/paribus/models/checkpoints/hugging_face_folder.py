"""A Hugging Face folder: config.json, safetensors in one file or several, tokenizer.json."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from paribus.core.errors import InputError
from paribus.models.checkpoints.checkpoint import Checkpoint

CONFIG, ONE, INDEX, TOKENIZER = "config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"
BESIDE = (
    *("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "chat_template.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model"),
    *("LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "NOTICE.txt"),
)


def is_hugging_face(path: Path) -> bool:
    return (path / CONFIG).is_file()


def read_folder(path: Path) -> Checkpoint:
    """Raises InputError for a folder without weights in safetensors, or with a damaged file."""
    config = _json(path / CONFIG)
    where = _where(path)
    told = {**config, **_json(path / "generation_config.json", needed=False)}
    # What transformers does with the tokenizers that ask for it by this word.
    begins = _json(path / "tokenizer_config.json", needed=False).get("add_bos_token")
    begin = _ids(told, "bos_token_id", path) if begins else ()
    return Checkpoint(
        path,
        config,
        _Tensors(where),
        _text(path / TOKENIZER) if (path / TOKENIZER).is_file() else None,
        _ids(told, "eos_token_id", path),
        begin if begin or begins is False else None,
        beside=_Files(path),
    )


def _ids(told: dict[str, Any], name: str, path: Path) -> tuple[int, ...]:
    """One token, several, or none."""
    given = told.get(name)
    ids = given if isinstance(given, list) else [] if given is None else [given]
    if not all(isinstance(one, int) for one in ids):
        raise InputError(
            f"{path} has {name} = {given!r}: expected a token's number, a list of them, or null; correct it"
        )
    return tuple(ids)


def _where(path: Path) -> dict[str, Path]:
    """Name of each tensor -> the file that holds it."""
    if (path / INDEX).is_file():
        named = _json(path / INDEX).get("weight_map")
        if not isinstance(named, dict) or not all(isinstance(file, str) for file in named.values()):
            raise InputError(f"{path / INDEX} has no weight_map from names to files: download it again")
        missing = sorted({file for file in named.values() if not (path / file).is_file()})
        if missing:
            raise InputError(f"{path} lacks {', '.join(missing)}, which {INDEX} names: download it again")
        return {name: path / file for name, file in named.items()}
    if not (path / ONE).is_file():
        other = next((one.name for one in path.iterdir() if one.suffix in {".bin", ".pt", ".pth", ".ckpt"}), None)
        found = f"it has {other}, a pickle, which can run code and is never opened" if other else "it has no weights"
        raise InputError(f"{path} has no {ONE}: {found}; save the model with save_pretrained, which writes safetensors")
    try:
        with safe_open(path / ONE, framework="pt") as file:
            return dict.fromkeys(file.keys(), path / ONE)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path / ONE} is damaged ({error}): download it again") from error


class _Tensors(Mapping[str, Tensor]):
    def __init__(self, where: dict[str, Path]) -> None:
        self.where = where

    def __getitem__(self, name: str) -> Tensor:
        try:
            with safe_open(self.where[name], framework="pt") as file:
                return file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{self.where[name]}: {name} cannot be read ({error}): download it again") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.where)

    def __len__(self) -> int:
        return len(self.where)


class _Files(Mapping[str, bytes]):
    """Read when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.where = {name: path / name for name in BESIDE if (path / name).is_file()}

    def __getitem__(self, name: str) -> bytes:
        try:
            return self.where[name].read_bytes()
        except OSError as error:
            raise InputError(f"{self.where[name]} cannot be read ({error}): download it again") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.where)

    def __len__(self) -> int:
        return len(self.where)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): download it again") from error


def _json(path: Path, needed: bool = True) -> dict[str, Any]:
    """The object that a file holds; an empty one for a file that is not there and need not be."""
    if not needed and not path.is_file():
        return {}
    try:
        told = json.loads(_text(path))
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}): download it again") from error
    if not isinstance(told, dict):
        raise InputError(f"{path} holds no JSON object: download it again")
    return told
