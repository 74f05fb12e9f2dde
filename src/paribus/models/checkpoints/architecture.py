"""What an architecture of checkpoints has to say, and the parts that all of them here share."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from paribus.core.errors import InputError
from paribus.layers.activations.silu import SiLU
from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.norms.rms_norm import RMSNorm
from paribus.models.checkpoints.packed import Packed, same
from paribus.models.decoder import DecoderLM

OUTSIDE = {"embedding.weight": "model.embed_tokens.weight", "norm.gain": "model.norm.weight"}
INSIDE = {
    "mixer_norm.gain": "input_layernorm.weight",
    "mixer.out.weight": "self_attn.o_proj.weight",
    "feed_forward_norm.gain": "post_attention_layernorm.weight",
    "feed_forward.gate.weight": "mlp.gate_proj.weight",
    "feed_forward.up.weight": "mlp.up_proj.weight",
    "feed_forward.down.weight": "mlp.down_proj.weight",
}


DECODER_WORDS = {
    "d_model": "hidden_size",
    "d_ff": "intermediate_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "tie_embeddings": "tie_word_embeddings",
    "eps": "rms_norm_eps",
}


class Architecture(Protocol):
    """A module with these functions; `told` is the content of config.json."""

    WORDS: dict[str, str]  # our name -> that of config.json, for errors

    def config_of(self, told: Mapping[str, Any]) -> DecoderLM.Config:
        """Raises InputError for what a decoder here cannot do."""

    def described(self, config: DecoderLM.Config, max_length: int, train_length: int) -> dict[str, Any]:
        """Raises InputError for parts that the architecture has not."""

    def tensors(self, config: DecoderLM.Config) -> list[Packed]:
        """Every tensor of a checkpoint."""


def check(told: Mapping[str, Any], needed: Sequence[str] = ()) -> None:
    """What every reader needs and none here has."""
    for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", *needed):
        whole(told, name)
    if told.get("attention_bias") or told.get("mlp_bias"):
        raise InputError("config.json asks for biases in its projections: this decoder has none")
    if told.get("hidden_act", "silu") != "silu":
        raise InputError(f"config.json has hidden_act {told['hidden_act']!r}: only 'silu' can be read")
    if told.get("sliding_window"):
        raise InputError("config.json asks for a sliding window, which is not read here")


def whole(told: Mapping[str, Any], name: str, least: int = 1) -> int:
    """A number of config.json that must be there."""
    if name not in told:
        raise InputError(f"config.json lacks {name!r}: it is incomplete; download it again")
    value = told[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"config.json has {name} = {value!r}: expected a whole number, {least} or more; correct it")
    return value


def decoder_of(told: Mapping[str, Any], mixer: Any) -> DecoderLM.Config:
    """The decoder around a mixer."""
    return DecoderLM.Config(
        n_layers=told["num_hidden_layers"],
        d_model=told["hidden_size"],
        vocab_size=told["vocab_size"],
        tie_embeddings=told.get("tie_word_embeddings", False),
        norm=RMSNorm.Config(eps=told.get("rms_norm_eps", 1e-6)),
        feed_forward=GatedFeedForward.Config(d_ff=told["intermediate_size"], activation=SiLU()),
        mixer=mixer,
    )


def decoder_described(config: DecoderLM.Config, max_length: int) -> dict[str, Any]:
    """What config.json says of the decoder around the mixer."""
    network = config.feed_forward
    if not isinstance(network, GatedFeedForward.Config):
        raise InputError(
            f"{_name(network)} is not the gated network of such checkpoints: save the model with save_model"
        )
    refuse_others([(network.activation, SiLU), (config.norm, RMSNorm.Config)])
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": network.d_ff,
        "num_hidden_layers": config.n_layers,
        "max_position_embeddings": max_length,
        "rms_norm_eps": config.norm.eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tie_embeddings,
    }


def refuse_others(parts: Sequence[tuple[Any, type]]) -> None:
    """Raise InputError unless every part is exactly of its class."""
    strange = [_name(part) for part, kind in parts if type(part) is not kind]
    if strange:
        raise InputError(f"such checkpoints have no {', '.join(strange)}: save the model with save_model")


def _name(part: Any) -> str:
    return type(part).__qualname__.removesuffix(".Config")


def decoder_tensors(config: DecoderLM.Config) -> list[Packed]:
    """All tensors but those of the mixers' projections."""
    found = [same(theirs, ours) for ours, theirs in OUTSIDE.items()]
    if not config.tie_embeddings:
        found.append(same("lm_head.weight", "head.weight"))
    for layer in range(config.n_layers):
        found += [same(f"model.layers.{layer}.{theirs}", f"layers.{layer}.{ours}") for ours, theirs in INSIDE.items()]
    return found
