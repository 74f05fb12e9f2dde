"""Llama-type checkpoints <-> DecoderLM: pre-norm, RMSNorm, rotary grouped-query attention, gated SiLU network."""

from collections.abc import Mapping
from typing import Any

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.causal import Causal
from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.core.errors import InputError
from paribus.layers.activations.silu import SiLU
from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.norms.rms_norm import RMSNorm
from paribus.models.checkpoints.rope import described, rotary_of
from paribus.models.decoder import DecoderLM
from paribus.normalizers.softmax import Softmax
from paribus.positions.rotary import Rotary

OUTSIDE = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.gain": "model.norm.weight",
    "head.weight": "lm_head.weight",
}
INSIDE = {
    "mixer_norm.gain": "input_layernorm.weight",
    "mixer.query.weight": "self_attn.q_proj.weight",
    "mixer.key.weight": "self_attn.k_proj.weight",
    "mixer.value.weight": "self_attn.v_proj.weight",
    "mixer.out.weight": "self_attn.o_proj.weight",
    "feed_forward_norm.gain": "post_attention_layernorm.weight",
    "feed_forward.gate.weight": "mlp.gate_proj.weight",
    "feed_forward.up.weight": "mlp.up_proj.weight",
    "feed_forward.down.weight": "mlp.down_proj.weight",
}


def config_of(told: Mapping[str, Any]) -> DecoderLM.Config:
    """config.json -> our configuration; InputError for what a Llama-type decoder here cannot do."""
    for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"):
        if name not in told:
            raise InputError(f"config.json lacks {name!r}: it is incomplete; download it again")
    if told.get("attention_bias") or told.get("mlp_bias"):
        raise InputError("config.json asks for biases in its projections: this decoder has none")
    if told.get("hidden_act", "silu") != "silu":
        raise InputError(f"config.json has hidden_act {told['hidden_act']!r}: only 'silu' can be read")
    return DecoderLM.Config(
        n_layers=told["num_hidden_layers"],
        d_model=told["hidden_size"],
        vocab_size=told["vocab_size"],
        tie_embeddings=told.get("tie_word_embeddings", False),
        norm=RMSNorm.Config(eps=told.get("rms_norm_eps", 1e-6)),
        feed_forward=GatedFeedForward.Config(d_ff=told["intermediate_size"], activation=SiLU()),
        mixer=GroupedQuery.Config(
            n_heads=told["num_attention_heads"],
            n_kv_heads=told.get("num_key_value_heads") or told["num_attention_heads"],
            head_dim=told.get("head_dim"),
            position=rotary_of(told),
        ),
    )


def described_as_llama(config: DecoderLM.Config, max_length: int, train_length: int) -> dict[str, Any]:
    """Our configuration -> config.json. InputError for parts that Llama has not."""
    mixer, network = config.mixer, config.feed_forward
    if not isinstance(mixer, GroupedQuery.Config) or not isinstance(mixer.position, Rotary):
        raise InputError("only one kind of grouped-query attention with rotary positions can be saved as Llama")
    strange = [
        type(part).__name__
        for part, kind in (
            (mixer.scale, InverseSqrt),
            (mixer.normalizer, Softmax),
            (mixer.mask, Causal),
            (config.norm, RMSNorm.Config),
            (network, GatedFeedForward.Config),
            (getattr(network, "activation", None), SiLU),
        )
        if type(part) is not kind
    ]
    if strange:
        raise InputError(f"Llama has no {', '.join(strange)}: such a model can be saved with save_model only")
    head_dim = mixer.head_dim or config.d_model // mixer.n_heads
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": network.d_ff,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": mixer.n_heads,
        "num_key_value_heads": mixer.kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": max_length,
        "rms_norm_eps": config.norm.eps,
        "rope_parameters": described(mixer.position, head_dim, train_length),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tie_embeddings,
    }


def names(config: DecoderLM.Config) -> dict[str, str]:
    """Our name of every parameter -> Hugging Face's."""
    outside = {ours: theirs for ours, theirs in OUTSIDE.items() if ours != "head.weight" or not config.tie_embeddings}
    inside = {
        f"layers.{layer}.{ours}": f"model.layers.{layer}.{theirs}"
        for layer in range(config.n_layers)
        for ours, theirs in INSIDE.items()
    }
    return outside | inside
