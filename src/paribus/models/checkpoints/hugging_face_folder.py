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


def is_hugging_face(path: Path) -> bool:
    return (path / CONFIG).is_file()


def read_folder(path: Path) -> Checkpoint:
    """Raises InputError for a folder without weights in safetensors, or with a damaged file."""
    config = _json(path / CONFIG)
    where = _where(path)
    tokenizer = path / TOKENIZER
    ends = _json(path / "generation_config.json") if (path / "generation_config.json").is_file() else config
    end = ends.get("eos_token_id", config.get("eos_token_id"))
    return Checkpoint(
        path,
        config,
        _Tensors(where),
        tokenizer.read_text(encoding="utf-8") if tokenizer.is_file() else None,
        tuple(end) if isinstance(end, list) else () if end is None else (end,),
    )


def _where(path: Path) -> dict[str, Path]:
    """Name of each tensor -> the file that holds it."""
    if (path / INDEX).is_file():
        named: dict[str, str] = _json(path / INDEX)["weight_map"]
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


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): download it again") from error
    if not isinstance(told, dict):
        raise InputError(f"{path} holds no JSON object: download it again")
    return told
