"""From a word or a path to a model that is ready to read, and back into a folder that transformers loads."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from paribus.attention.latent import Latent
from paribus.core.errors import InputError, nearest
from paribus.models.checkpoints import deepseek_v2, get, llama
from paribus.models.checkpoints.architecture import Architecture
from paribus.models.checkpoints.checkpoint import Checkpoint
from paribus.models.checkpoints.gguf_file import read_gguf
from paribus.models.checkpoints.hugging_face_folder import CONFIG, ONE, TOKENIZER, is_hugging_face, read_folder
from paribus.models.checkpoints.packed import Packed
from paribus.models.decoder import DecoderLM
from paribus.models.weights import save_whole, weights

KINDS: dict[str, Architecture] = {"llama": llama, "mistral": llama, "deepseek_v2": deepseek_v2}
UNUSED = "rotary_emb.inv_freq"  # a buffer that old versions stored


class Loaded(NamedTuple):
    model: DecoderLM
    checkpoint: Checkpoint


def is_checkpoint(word: str) -> bool:
    """Whether the word names a checkpoint: a known name, a GGUF file or a Hugging Face folder."""
    path = Path(word)
    return word in get.KNOWN or path.suffix == ".gguf" or is_hugging_face(path)


def open_checkpoint(word: str) -> Checkpoint:
    """Read the configuration and names; weights are read when they are asked for."""
    path = get.get(word) if word in get.KNOWN else Path(word)
    if path.suffix == ".gguf" and path.is_file():
        return read_gguf(path)
    if is_hugging_face(path):
        return read_folder(path)
    if path.exists():
        raise InputError(f"{path} is no checkpoint: expected a .gguf file or a folder with {CONFIG} and {ONE}")
    raise InputError(f"no model {word!r} here: give a path, or a known name; {nearest(word, get.KNOWN)}")


def load_checkpoint(word: str, dtype: torch.dtype = torch.float32) -> Loaded:
    """Our decoder with the checkpoint's weights. Raises InputError for a model of another architecture."""
    checkpoint = open_checkpoint(word)
    kind = str(checkpoint.config.get("model_type"))
    if kind not in KINDS:
        raise InputError(f"{checkpoint.path} is a {kind!r} model; known: {', '.join(KINDS)}")
    config = KINDS[kind].config_of(checkpoint.config)
    with torch.device("meta"):
        model = config.build()
    model = model.to_empty(device="cpu").to(dtype)
    _fill(model, KINDS[kind].tensors(config), checkpoint.tensors, checkpoint.path)
    return Loaded(model.eval(), checkpoint)


@torch.no_grad()
def _fill(model: DecoderLM, packed: Sequence[Packed], tensors: Mapping[str, Tensor], path: Path) -> None:
    known = {one.theirs for one in packed} | ({"lm_head.weight"} if model.head is None else set())
    extra = sorted(name for name in tensors if name not in known and not name.endswith(UNUSED))
    missing = sorted(one.theirs for one in packed if one.theirs not in tensors)
    for what, found in (("does not know", extra), ("needs", missing)):
        if found:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise InputError(
                f"{path}: this decoder {what} {', '.join(found[:3])}{more}: the checkpoint is of another architecture "
                "than its config says"
            )
    targets = weights(model)
    for one in packed:
        wanted = tuple(one.pack(*(torch.empty_like(targets[ours], device="meta") for ours in one.ours)).shape)
        stored = tensors[one.theirs]
        if tuple(stored.shape) != wanted:
            raise InputError(f"{path}: {one.theirs} has shape {tuple(stored.shape)}, the config asks for {wanted}")
        for ours, part in zip(one.ours, one.unpack(stored), strict=True):
            targets[ours].copy_(part)


def save_checkpoint(
    model: DecoderLM,
    folder: Path,
    max_length: int,
    train_length: int | None = None,
    tokenizer: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write a folder that transformers loads by itself; config.json comes last, so a folder that has one is whole.

    max_length: the length that the model reads well. train_length: that of its training, where it was less.
    more: further entries of config.json, such as eos_token_id. Latent attention is saved as DeepSeek-V2, else as Llama.
    """
    kind: Architecture = deepseek_v2 if isinstance(model.config.mixer, Latent.Config) else llama
    described = kind.described(model.config, max_length, train_length or max_length)
    own = weights(model)
    tensors = {one.theirs: one.pack(*(own[ours] for ours in one.ours)) for one in kind.tensors(model.config)}
    described["dtype"] = str(next(model.parameters()).dtype).removeprefix("torch.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)
    save_whole(tensors, folder / ONE, metadata={"format": "pt"})
    if tokenizer is not None:
        (folder / TOKENIZER).write_text(tokenizer, encoding="utf-8")
    text = json.dumps({**described, **(more or {})}, indent=2, ensure_ascii=False) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
