"""DeepSeek-V2-type checkpoints <-> DecoderLM: latent attention with a rotary part, gated SiLU networks and experts.

Its rotary pairs are interleaved. `kv_a_proj_with_mqa` holds the latent's rows and then the rotary key's; `kv_b_proj`
holds, head by head, the rows of the key's content and then of the value.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from paribus.attention.latent import Latent
from paribus.attention.masks.causal import Causal
from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.core.errors import InputError
from paribus.layers.norms.rms_norm import RMSNorm
from paribus.models.checkpoints.architecture import (
    DECODER_WORDS,
    check,
    decoder_described,
    decoder_of,
    decoder_tensors,
    refuse_others,
)
from paribus.models.checkpoints.experts import WORDS as EXPERT_WORDS
from paribus.models.checkpoints.experts import networks_described, networks_of, networks_tensors
from paribus.models.checkpoints.mscale import mscale_described, without_mscale
from paribus.models.checkpoints.packed import Packed, same, turned
from paribus.models.checkpoints.rope import described as rope_described
from paribus.models.checkpoints.rope import rotary_of
from paribus.models.decoder import DecoderLM
from paribus.normalizers.softmax import Softmax
from paribus.positions.pairing.convert import convert
from paribus.positions.pairing.interleaved import Interleaved
from paribus.positions.rotary import Rotary

LATENT_EPS = 1e-6  # of the latents' norms, whatever config.json says of the others
WORDS = {
    **DECODER_WORDS,
    **EXPERT_WORDS,
    "latent": "kv_lora_rank",
    "query_latent": "q_lora_rank",
    "rope_dim": "qk_rope_head_dim",
    "head_dim": "qk_nope_head_dim",
    "value_dim": "v_head_dim",
}


def config_of(told: Mapping[str, Any]) -> DecoderLM.Config:
    check(told, ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"))
    told, factor = without_mscale(told)
    rotary = rotary_of(told)
    mixer = Latent.Config(
        n_heads=told["num_attention_heads"],
        latent=told["kv_lora_rank"],
        rope_dim=told["qk_rope_head_dim"],
        head_dim=told["qk_nope_head_dim"],
        value_dim=told["v_head_dim"],
        query_latent=told.get("q_lora_rank"),
        latent_norm=RMSNorm.Config(eps=LATENT_EPS),
        position=Rotary(base=rotary.base, scaling=rotary.scaling, pairing=Interleaved()),
        scale=InverseSqrt(factor=factor),
    )
    return decoder_of(told, mixer, networks_of(told))


def described(config: DecoderLM.Config, max_length: int, train_length: int) -> dict[str, Any]:
    mixer = config.mixer
    if not isinstance(mixer, Latent.Config) or not isinstance(mixer.position, Rotary) or mixer.rope_dim == 0:
        raise InputError("only one kind of latent attention with a rotary part can be saved as DeepSeek-V2")
    refuse_others(
        [
            (mixer.scale, InverseSqrt),
            (mixer.normalizer, Softmax),
            (mixer.mask, Causal),
            (mixer.latent_norm, RMSNorm.Config),
        ]
    )
    if mixer.latent_norm is None or mixer.latent_norm.eps != LATENT_EPS:
        raise InputError(f"DeepSeek-V2's norms of the latents have eps = {LATENT_EPS}: save the model with save_model")
    assert isinstance(mixer.scale, InverseSqrt)
    rope = rope_described(mixer.position, mixer.rope_dim, train_length)
    inner = mixer.d_head if mixer.head_dim is not None else config.d_model // mixer.n_heads
    return {
        **decoder_described(config, max_length),
        **networks_described(config),
        "architectures": ["DeepseekV2ForCausalLM"],
        "model_type": "deepseek_v2",
        "num_attention_heads": mixer.n_heads,
        "num_key_value_heads": mixer.n_heads,
        "kv_lora_rank": mixer.latent,
        "q_lora_rank": mixer.query_latent,
        "qk_rope_head_dim": mixer.rope_dim,
        "qk_nope_head_dim": inner,
        "v_head_dim": mixer.value_dim or inner,
        "head_dim": mixer.rope_dim,  # what their rotary table is made for
        "rope_parameters": rope | mscale_described(mixer.position, mixer.scale.factor),
    }


def tensors(config: DecoderLM.Config) -> list[Packed]:
    mixer = config.layer_mixers()[0]
    assert isinstance(mixer, Latent.Config)
    assert isinstance(mixer.position, Rotary)
    stored, pairing = Interleaved(), mixer.position.pairing
    found = decoder_tensors(config) + networks_tensors(config.layer_feed_forwards())
    for layer in range(config.n_layers):
        theirs, ours = f"model.layers.{layer}.self_attn", f"layers.{layer}.mixer"
        query = f"{theirs}.q_proj.weight"
        if mixer.query_latent is not None:
            query = f"{theirs}.q_b_proj.weight"
            found += [
                same(f"{theirs}.q_a_proj.weight", f"{ours}.query_latent.weight"),
                same(f"{theirs}.q_a_layernorm.weight", f"{ours}.query_latent_norm.gain"),
            ]
        found += [
            turned(query, f"{ours}.query.weight", mixer.n_heads, stored, pairing, mixer.rope_dim),
            same(f"{theirs}.kv_a_layernorm.weight", f"{ours}.latent_norm.gain"),
            _latent_and_rope(theirs, ours, mixer.latent, stored, pairing),
            _keys_and_values(theirs, ours, mixer.n_heads, mixer.d_head),
        ]
    return found


def _latent_and_rope(theirs: str, ours: str, latent: int, stored: Any, pairing: Any) -> Packed:
    def unpack(weight: Tensor) -> tuple[Tensor, ...]:
        return weight[:latent], convert(weight[latent:], 1, stored, pairing)

    def pack(content: Tensor, rope: Tensor) -> Tensor:
        return torch.cat([content, convert(rope, 1, pairing, stored)])

    names = (f"{ours}.latent.weight", f"{ours}.key_rope.weight")
    return Packed(f"{theirs}.kv_a_proj_with_mqa.weight", names, unpack, pack)


def _keys_and_values(theirs: str, ours: str, n_heads: int, d_key: int) -> Packed:
    def unpack(weight: Tensor) -> tuple[Tensor, ...]:
        heads = weight.unflatten(0, (n_heads, -1))
        return heads[:, :d_key].flatten(0, 1), heads[:, d_key:].flatten(0, 1)

    def pack(keys: Tensor, values: Tensor) -> Tensor:
        return torch.cat([part.unflatten(0, (n_heads, -1)) for part in (keys, values)], dim=1).flatten(0, 1)

    return Packed(f"{theirs}.kv_b_proj.weight", (f"{ours}.key.weight", f"{ours}.value.weight"), unpack, pack)
