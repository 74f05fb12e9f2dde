"""From a word or a path to a model that is ready to read, and back into a folder that transformers loads."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from paribus.attention.latent import Latent
from paribus.core.errors import ConfigError, InputError, nearest
from paribus.models.checkpoints import deepseek_v2, get, llama
from paribus.models.checkpoints.architecture import Architecture
from paribus.models.checkpoints.checkpoint import Checkpoint
from paribus.models.checkpoints.gguf_file import read_gguf
from paribus.models.checkpoints.hugging_face_folder import CONFIG, ONE, TOKENIZER, is_hugging_face, read_folder
from paribus.models.checkpoints.packed import Packed
from paribus.models.decoder import DecoderLM
from paribus.models.weights import save_whole, weights
from paribus.ops.blocks import attach

KINDS: dict[str, Architecture] = {"llama": llama, "mistral": llama, "deepseek_v2": deepseek_v2}
FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
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
    raise no_model(word)


def no_model(word: str) -> InputError:
    return InputError(
        f"there is no file or folder {word!r}, and no known model of that name: give a path, or a known name; "
        f"{nearest(word, get.KNOWN)}"
    )


def config_of(
    told: Mapping[str, Any], path: Path, kinds: Mapping[str, Architecture] = KINDS, can: str = "can be read"
) -> DecoderLM.Config:
    """The decoder that a config.json asks for; InputError says which file is meant, and what its own words are."""
    kind = str(told.get("model_type"))
    if kind not in kinds:
        raise InputError(f"{path} is a {kind!r} model: {', '.join(kinds)} {can} here")
    try:
        return kinds[kind].config_of(told)
    except ConfigError as error:
        meant = [
            f"{ours} is {theirs}" for ours, theirs in kinds[kind].WORDS.items() if re.search(rf"\b{ours}\b", str(error))
        ]
        words = f" (in config.json {', '.join(meant)})" if meant else ""
        raise InputError(f"{path}: {error}{words}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def load_checkpoint(word: str | Checkpoint, dtype: torch.dtype = torch.float32) -> Loaded:
    """Our decoder with the checkpoint's weights. Raises InputError for a model of another architecture.

    word: a path, a known name, or what `open_checkpoint` has made of one. Where config.json ties the output matrix to
    the embedding and the weights hold another one, that one counts, as in transformers: the model is not tied. Weights
    that are no finite numbers are an InputError.
    """
    checkpoint = open_checkpoint(word) if isinstance(word, str) else word
    if (quantised := checkpoint.config.get("quantization_config")) is not None:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        raise InputError(
            f"{checkpoint.path} has quantised weights ({method}), which are not read here: take the checkpoint in "
            "float32, float16 or bfloat16, or a GGUF file"
        )
    config = config_of(checkpoint.config, checkpoint.path)
    if config.tie_embeddings and _has_own_head(checkpoint.tensors):
        config = replace(config, tie_embeddings=False)
    with torch.device("meta"):
        model = config.build().to(dtype)
    model = model.to_empty(device="cpu")
    _fill(model, KINDS[checkpoint.config["model_type"]].tensors(config), checkpoint)
    return Loaded(model.eval(), checkpoint)


def _has_own_head(tensors: Mapping[str, Tensor]) -> bool:
    """Whether an output matrix is stored that is not the embedding."""
    if not {EMBEDDING, HEAD} <= set(tensors):
        return False
    head, embedding = tensors[HEAD], tensors[EMBEDDING]
    return head.numel() > 0 and not (head.shape == embedding.shape and bool((head == embedding).all()))


@torch.no_grad()
def _fill(model: DecoderLM, packed: Sequence[Packed], checkpoint: Checkpoint) -> None:
    tensors, blocks, path = checkpoint.tensors, checkpoint.blocks, checkpoint.path
    known = {one.theirs for one in packed} | ({HEAD} if model.head is None else set())
    extra = sorted(name for name in tensors if name not in known and not name.endswith(UNUSED))
    # An empty matrix holds nothing: transformers writes those of a model without shared experts.
    extra = [name for name in extra if tensors[name].numel() > 0]
    # Names alone: asking a mapping whether it holds one would read the tensor.
    named, in_blocks = set(tensors), set(blocks)
    missing = sorted(one.theirs for one in packed if one.theirs not in named)
    for what, found in (("does not know", extra), ("needs", missing)):
        if found:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise InputError(
                f"{path}: this decoder {what} {', '.join(found[:3])}{more}: the weights are of another model than "
                "config.json says; download both again, or correct config.json"
            )
    targets = weights(model)
    for one in packed:
        wanted = tuple(one.pack(*(torch.empty_like(targets[ours], device="meta") for ours in one.ours)).shape)
        stored = tensors[one.theirs]
        if stored.dtype not in FLOATS:
            raise InputError(
                f"{path}: {one.theirs} is stored as {_name(stored.dtype)}, expected {', '.join(map(_name, FLOATS))}: "
                "quantised weights are not read here; take the checkpoint in one of these types"
            )
        if tuple(stored.shape) != wanted:
            raise InputError(
                f"{path}: {one.theirs} has shape {tuple(stored.shape)}, the config asks for {wanted}: the weights are "
                "of another model than config.json says; download both again, or correct config.json"
            )
        for ours, part in zip(one.ours, one.unpack(stored), strict=True):
            targets[ours].copy_(part)
            if part.numel() > 0 and not all(map(torch.isfinite, targets[ours].aminmax())):
                raise InputError(
                    f"{path}: {one.theirs} holds numbers that are not finite as {_name(targets[ours].dtype)}: the file "
                    "is damaged or its training has diverged; download it again, or take another checkpoint"
                )
        if one.theirs in in_blocks and targets[one.ours[0]].dtype == torch.float32:
            # Taking such a tensor apart means to move its rows.
            own, (moved,) = blocks[one.theirs], one.unpack(blocks[one.theirs].stored)
            attach(model.get_parameter(one.ours[0]), own._replace(stored=moved.contiguous()))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def save_checkpoint(
    model: DecoderLM,
    folder: Path,
    max_length: int,
    train_length: int | None = None,
    tokenizer: str | None = None,
    more: Mapping[str, Any] | None = None,
    beside: Mapping[str, bytes] | None = None,
    like: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write a folder that transformers loads by itself; config.json comes last, so a folder that has one is whole.

    max_length: the length that the model reads well. train_length: that of its training, where it was less.
    more: further entries of config.json, such as eos_token_id. beside: further files, as of a Checkpoint. like: tensors
    by Hugging Face's names; each is saved in the type that it has there. Latent attention is saved as DeepSeek-V2, else
    as Llama.
    """
    kind: Architecture = deepseek_v2 if isinstance(model.config.mixer, Latent.Config) else llama
    described = kind.described(model.config, max_length, train_length or max_length)
    own = weights(model)
    tensors = {one.theirs: one.pack(*(own[ours] for ours in one.ours)) for one in kind.tensors(model.config)}
    if like is not None:
        named = set(like)  # asking a mapping whether it holds a name would read the tensor
        tensors = {name: one.to(like[name].dtype) if name in named else one for name, one in tensors.items()}
    numbers: Counter[torch.dtype] = Counter()
    for tensor in tensors.values():
        numbers[tensor.dtype] += tensor.numel()
    described["dtype"] = _name(numbers.most_common(1)[0][0])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)
    save_whole(tensors, folder / ONE, metadata={"format": "pt"})
    if tokenizer is not None:
        (folder / TOKENIZER).write_text(tokenizer, encoding="utf-8")
    for name, content in (beside or {}).items():
        (folder / name).write_bytes(content)
    text = json.dumps({**described, **(more or {})}, indent=2, ensure_ascii=False) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
