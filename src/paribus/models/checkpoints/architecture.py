"""What an architecture of checkpoints has to say, and the parts that all of them here share."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from paribus.core.errors import InputError
from paribus.layers.activations.silu import SiLU
from paribus.layers.feed_forward.base import FeedForwardConfig
from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.mixer import MixerConfig
from paribus.layers.norms.rms_norm import RMSNorm
from paribus.models.checkpoints.packed import Packed, same
from paribus.models.decoder import DecoderLM

OUTSIDE = {"embedding.weight": "model.embed_tokens.weight", "norm.gain": "model.norm.weight"}
INSIDE = {
    "mixer_norm.gain": "input_layernorm.weight",
    "mixer.out.weight": "self_attn.o_proj.weight",
    "feed_forward_norm.gain": "post_attention_layernorm.weight",
}
GATED = {"gate.weight": "gate_proj.weight", "up.weight": "up_proj.weight", "down.weight": "down_proj.weight"}


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


def number(told: Mapping[str, Any], name: str, default: float) -> float:
    """A number of config.json, or the default where there is none."""
    value = told.get(name)
    if value is None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"config.json has {name} = {value!r}: expected a number; correct it")
    return float(value)


def dense_network(told: Mapping[str, Any]) -> GatedFeedForward.Config:
    return GatedFeedForward.Config(d_ff=told["intermediate_size"], activation=SiLU())


def decoder_of(
    told: Mapping[str, Any], mixer: MixerConfig, networks: FeedForwardConfig | tuple[FeedForwardConfig, ...]
) -> DecoderLM.Config:
    """The decoder around a mixer and its networks."""
    return DecoderLM.Config(
        n_layers=told["num_hidden_layers"],
        d_model=told["hidden_size"],
        vocab_size=told["vocab_size"],
        tie_embeddings=told.get("tie_word_embeddings", False),
        norm=RMSNorm.Config(eps=told.get("rms_norm_eps", 1e-6)),
        feed_forward=networks,
        mixer=mixer,
    )


def decoder_described(config: DecoderLM.Config, max_length: int) -> dict[str, Any]:
    """What config.json says of the decoder around the mixers and networks."""
    refuse_others([(config.norm, RMSNorm.Config)])
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layers,
        "max_position_embeddings": max_length,
        "rms_norm_eps": config.norm.eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tie_embeddings,
    }


def gated_width(networks: Sequence[FeedForwardConfig]) -> int:
    """d_ff of networks that are alike, gated and by SiLU; InputError for others."""
    for network in networks:
        if not isinstance(network, GatedFeedForward.Config):
            raise InputError(
                f"{_name(network)} is not the gated network of such checkpoints: save the model with save_model"
            )
        refuse_others([(network.activation, SiLU)])
    widths = sorted({network.d_ff for network in networks})
    if len(widths) > 1:
        raise InputError(
            f"the layers' networks are {', '.join(map(str, widths))} wide, and such checkpoints have one width: save "
            "the model with save_model"
        )
    return widths[0]


def refuse_others(parts: Sequence[tuple[Any, type]]) -> None:
    """Raise InputError unless every part is exactly of its class."""
    strange = [_name(part) for part, kind in parts if type(part) is not kind]
    if strange:
        raise InputError(f"such checkpoints have no {', '.join(strange)}: save the model with save_model")


def _name(part: Any) -> str:
    return type(part).__qualname__.removesuffix(".Config")


def decoder_tensors(config: DecoderLM.Config) -> list[Packed]:
    """All tensors but those of the mixers' projections and of the networks."""
    found = [same(theirs, ours) for ours, theirs in OUTSIDE.items()]
    if not config.tie_embeddings:
        found.append(same("lm_head.weight", "head.weight"))
    for layer in range(config.n_layers):
        found += [same(f"model.layers.{layer}.{theirs}", f"layers.{layer}.{ours}") for ours, theirs in INSIDE.items()]
    return found


def gated_tensors(theirs: str, ours: str) -> list[Packed]:
    """Those of one gated network."""
    return [same(f"{theirs}.{one}", f"{ours}.{own}") for own, one in GATED.items()]
