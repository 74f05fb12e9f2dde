"""Llama-type checkpoints <-> DecoderLM: pre-norm, RMSNorm, rotary grouped-query attention, gated SiLU network."""

from collections.abc import Mapping
from typing import Any

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.causal import Causal
from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.core.errors import InputError
from paribus.models.checkpoints.architecture import (
    DECODER_WORDS,
    check,
    decoder_described,
    decoder_of,
    decoder_tensors,
    dense_network,
    gated_tensors,
    gated_width,
    refuse_others,
)
from paribus.models.checkpoints.packed import Packed, same, turned
from paribus.models.checkpoints.rope import described as rope_described
from paribus.models.checkpoints.rope import rotary_of
from paribus.models.decoder import DecoderLM
from paribus.normalizers.softmax import Softmax
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.rotary import Rotary

WORDS = DECODER_WORDS


def config_of(told: Mapping[str, Any]) -> DecoderLM.Config:
    check(told)
    mixer = GroupedQuery.Config(
        n_heads=told["num_attention_heads"],
        n_kv_heads=told.get("num_key_value_heads") or told["num_attention_heads"],
        head_dim=told.get("head_dim"),
        position=rotary_of(told),
    )
    return decoder_of(told, mixer, dense_network(told))


def described(config: DecoderLM.Config, max_length: int, train_length: int) -> dict[str, Any]:
    mixer = config.mixer
    if not isinstance(mixer, GroupedQuery.Config) or not isinstance(mixer.position, Rotary):
        raise InputError("only one kind of grouped-query attention with rotary positions can be saved as Llama")
    refuse_others([(mixer.scale, InverseSqrt), (mixer.normalizer, Softmax), (mixer.mask, Causal)])
    assert isinstance(mixer.scale, InverseSqrt)
    if mixer.scale.factor != 1:
        raise InputError(
            f"config.json cannot say that scores are multiplied by {mixer.scale.factor}: save the model with save_model"
        )
    head_dim = mixer.head_dim or config.d_model // mixer.n_heads
    return decoder_described(config, max_length) | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "intermediate_size": gated_width(config.layer_feed_forwards()),
        "num_attention_heads": mixer.n_heads,
        "num_key_value_heads": mixer.kv_heads,
        "head_dim": head_dim,
        "rope_parameters": rope_described(mixer.position, head_dim, train_length),
    }


def tensors(config: DecoderLM.Config) -> list[Packed]:
    mixer = config.mixer
    assert isinstance(mixer, GroupedQuery.Config)
    pairing = getattr(mixer.position, "pairing", HalfSplit())
    found = decoder_tensors(config)
    for layer in range(config.n_layers):
        theirs, ours = f"model.layers.{layer}.self_attn", f"layers.{layer}.mixer"
        found += [
            turned(f"{theirs}.q_proj.weight", f"{ours}.query.weight", mixer.n_heads, HalfSplit(), pairing),
            turned(f"{theirs}.k_proj.weight", f"{ours}.key.weight", mixer.kv_heads, HalfSplit(), pairing),
            same(f"{theirs}.v_proj.weight", f"{ours}.value.weight"),
            *gated_tensors(f"model.layers.{layer}.mlp", f"layers.{layer}.feed_forward"),
        ]
    return found
