"""A GGUF file (llama.cpp's format) of a Llama-type model: quantised weights become float32 when they are read.

llama.cpp stores the rows of query and key projections in interleaved pairs; here they are put back in half-split order,
which Hugging Face's names stand for.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paribus.core.errors import InputError, optional
from paribus.models.checkpoints.checkpoint import Checkpoint
from paribus.ops.blocks import Blocks, blocks_of
from paribus.positions.pairing.convert import convert
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.pairing.interleaved import Interleaved

OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL = 3  # tokenizer.ggml.token_type of a special token


def read_gguf(path: Path) -> Checkpoint:
    """Raises InputError for a damaged file, another architecture, or a tensor that Llama does not have."""
    library = optional("gguf", "checkpoints")
    try:
        reader = library.GGUFReader(str(path))
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise InputError(f"{path} cannot be read as GGUF ({error}): download it again") from error
    facts = {name: field.contents() for name, field in reader.fields.items()}
    kind = facts.get("general.architecture")
    if kind != "llama":
        raise InputError(f"{path} is a model of the architecture {kind!r}: only 'llama' can be read from GGUF")
    config = _config(facts, path)
    stored = {_renamed(tensor.name, path): tensor for tensor in reader.tensors if tensor.name != "rope_freqs.weight"}
    if any(tensor.name == "rope_freqs.weight" for tensor in reader.tensors):
        raise InputError(f"{path} has rope_freqs, rewritten frequencies: use the checkpoint's Hugging Face folder")
    config["tie_word_embeddings"] = "lm_head.weight" not in stored
    tensors = _Tensors(path, stored, config, library.quants.dequantize)
    end, begin = (facts.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "bos"))
    begins = begin if facts.get("tokenizer.ggml.add_bos_token") else None
    end, begin = (() if one is None else (int(one),) for one in (end, begins))
    blocks = _Blocks(stored, config)
    return Checkpoint(path, config, tensors, _tokenizer(facts), end, begin, blocks, _beside(facts))


def _renamed(name: str, path: Path) -> str:
    if name in OUTSIDE:
        return OUTSIDE[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in INSIDE and parts[3] == "weight":
        return f"model.layers.{parts[1]}.{INSIDE[parts[2]]}.weight"
    raise InputError(f"{path} has the tensor {name!r}, which a Llama-type decoder does not have: it is another model")


class _Tensors(Mapping[str, Tensor]):
    """Dequantised one at a time, so that no second copy of the whole model is held."""

    def __init__(self, path: Path, stored: dict[str, Any], config: dict[str, Any], dequantize: Any) -> None:
        self.path, self.stored, self.config, self.dequantize = path, stored, config, dequantize

    def __getitem__(self, name: str) -> Tensor:
        one = self.stored[name]
        try:
            tensor = torch.from_numpy(self.dequantize(one.data, one.tensor_type).copy()).float()
        except (NotImplementedError, ValueError) as error:
            raise InputError(
                f"{self.path}: {name} is stored as {one.tensor_type.name}, which cannot be read here ({error}): take a "
                "GGUF file of another quantisation, or the checkpoint's Hugging Face folder"
            ) from error
        return _half_split(name, tensor, self.config)

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


class _Blocks(Mapping[str, Blocks]):
    """Of the tensors whose types are blocks of 32 numbers, a step and a floor."""

    def __init__(self, stored: dict[str, Any], config: dict[str, Any]) -> None:
        self.stored = {name: one for name, one in stored.items() if one.tensor_type.name in LAYOUTS}
        self.config = config

    def __getitem__(self, name: str) -> Blocks:
        one = self.stored[name]
        found = LAYOUTS[one.tensor_type.name](torch.from_numpy(one.data.copy()))
        return found._replace(stored=_half_split(name, found.stored, self.config))

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


def _q4_0(rows: Tensor) -> Blocks:
    (step,), codes = _taken_apart(rows, 18, 1)
    return blocks_of(step, -8 * step, codes, bits=4)


def _q4_1(rows: Tensor) -> Blocks:
    (step, floor), codes = _taken_apart(rows, 20, 2)
    return blocks_of(step, floor, codes, bits=4)


def _q8_0(rows: Tensor) -> Blocks:
    (step,), codes = _taken_apart(rows, 34, 1)
    return blocks_of(step, -128 * step, codes, bits=8)


LAYOUTS = {"Q4_0": _q4_0, "Q4_1": _q4_1, "Q8_0": _q8_0}


def _taken_apart(rows: Tensor, size: int, n: int) -> tuple[Sequence[Tensor], Tensor]:
    """Bytes (n_out, blocks * size), of each block first n numbers of 16 bits: these (n_out, blocks), and the rest."""
    blocks = rows.unflatten(1, (-1, size))
    return blocks[..., : 2 * n].contiguous().view(torch.float16).float().unbind(-1), blocks[..., 2 * n :]


def _half_split(name: str, tensor: Tensor, config: dict[str, Any]) -> Tensor:
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    for part, count in heads.items():
        # Rows that do not fit the heads are left as they are, for the reader to refuse their shape.
        if f".{part}." in name and len(tensor) == config[count] * config["head_dim"]:
            tensor = convert(tensor, config[count], before=Interleaved(), after=HalfSplit())
    return tensor


def _config(facts: Mapping[str, Any], path: Path) -> dict[str, Any]:
    def fact(name: str, kind: type = int) -> Any:
        if name not in facts:
            raise InputError(f"{path} does not say {name}: it was written by another program; convert it anew")
        if not isinstance(facts[name], kind):
            raise InputError(f"{path} says {name} = {facts[name]!r:.60}: expected {kind.__name__}; convert it anew")
        return facts[name]

    if facts.get("llama.rope.scaling.type", "none") != "none":
        raise InputError(f"{path} rewrites its frequencies: use the checkpoint's Hugging Face folder")
    heads, width = fact("llama.attention.head_count"), fact("llama.embedding_length")
    turned = facts.get("llama.rope.dimension_count")
    head_dim = facts.get("llama.attention.key_length", turned or width // max(1, heads))
    if turned not in (None, head_dim):
        raise InputError(f"{path} rotates {turned} of the {head_dim} numbers of each head: it cannot be read here")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(fact("tokenizer.ggml.tokens", list)),
        "hidden_size": width,
        "intermediate_size": fact("llama.feed_forward_length"),
        "num_hidden_layers": fact("llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": facts.get("llama.attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": fact("llama.context_length"),
        # Stored as float32; the decimal that was meant has fewer digits.
        "rms_norm_eps": float(f"{fact('llama.attention.layer_norm_rms_epsilon', float):.6g}"),
        "rope_parameters": {"rope_type": "default", "rope_theta": fact("llama.rope.freq_base", float)},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": facts.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": facts.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": facts.get("tokenizer.ggml.padding_token_id"),
    }


# How each known `tokenizer.ggml.pre` cuts a text before merging, in the words of tokenizer.json.
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
CUTS: dict[str, dict[str, Any]] = {
    "gpt-2": BYTE_LEVEL,
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]},
}


def _tokenizer(facts: Mapping[str, Any]) -> str | None:
    """The content of a tokenizer.json, or None for a kind that is not known here."""
    cut = CUTS.get(facts.get("tokenizer.ggml.pre", ""))
    merges = facts.get("tokenizer.ggml.merges")
    if facts.get("tokenizer.ggml.model") != "gpt2" or cut is None or merges is None:
        return None
    tokens = facts["tokenizer.ggml.tokens"]
    kinds = facts.get("tokenizer.ggml.token_type", ())
    special = [
        {"id": number, "content": tokens[number], "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for number, kind in enumerate(kinds)
        if kind == CONTROL
    ]
    described = {
        "version": "1.0",
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": cut,
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in merges],
        },
    }
    return json.dumps(described, ensure_ascii=False)


def _beside(facts: Mapping[str, Any]) -> dict[str, bytes]:
    """The chat's template and the names of special tokens, as Hugging Face keeps them."""
    tokens = facts["tokenizer.ggml.tokens"]
    told: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for theirs, name in (
        ("bos", "bos_token"),
        ("eos", "eos_token"),
        ("padding", "pad_token"),
        ("unknown", "unk_token"),
    ):
        number = facts.get(f"tokenizer.ggml.{theirs}_token_id")
        if isinstance(number, int) and 0 <= number < len(tokens):
            told[name] = tokens[number]
    if isinstance(begins := facts.get("tokenizer.ggml.add_bos_token"), bool):
        told["add_bos_token"] = begins
    if isinstance(template := facts.get("tokenizer.chat_template"), str):
        told["chat_template"] = template
    return {"tokenizer_config.json": json.dumps(told, indent=2, ensure_ascii=False).encode() + b"\n"}
