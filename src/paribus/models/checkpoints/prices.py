"""What a config.json of Hugging Face costs: also of models that cannot be read here, such as mixtures of experts.

Prices depend on sizes alone, so how positions are coded is left out of the account.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from paribus.core.errors import InputError
from paribus.models.checkpoints.architecture import Architecture, whole
from paribus.models.checkpoints.open import KINDS, config_of
from paribus.models.cost import Network
from paribus.models.decoder import DecoderLM

ALSO: dict[str, Architecture] = {"deepseek_v3": KINDS["deepseek_v2"]}  # the same layers, of other sizes
UNTURNED = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "partial_rotary_factor": 1.0}


class Priced(NamedTuple):
    config: DecoderLM.Config
    networks: tuple[Network, ...]  # one for each layer; none: those of the configuration


def priced(told: Mapping[str, Any], path: Path) -> Priced:
    """told: the content of config.json. Raises InputError for a model of another architecture."""
    dense = {**told, **UNTURNED, "n_routed_experts": None}
    config = config_of(dense, path, {**KINDS, **ALSO}, "can be priced")
    if not told.get("n_routed_experts"):
        return Priced(config, ())
    try:
        return Priced(config, _networks(told, config.d_model, config.n_layers))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _networks(told: Mapping[str, Any], d_model: int, n_layers: int) -> tuple[Network, ...]:
    """DeepSeek's: dense networks first, then a router, shared experts and chosen ones; all gated, of 3 matrices."""
    dense = Network(3 * d_model * whole(told, "intermediate_size"))
    each = 3 * d_model * whole(told, "moe_intermediate_size")
    n_experts = whole(told, "n_routed_experts")
    shared = whole(told, "n_shared_experts", 0) if told.get("n_shared_experts") is not None else 0
    mixed = Network(d_model * n_experts + shared * each, each, n_experts, whole(told, "num_experts_per_tok"))
    first = whole(told, "first_k_dense_replace", 0) if "first_k_dense_replace" in told else 0
    every = whole(told, "moe_layer_freq") if told.get("moe_layer_freq") is not None else 1
    return tuple(mixed if layer >= first and layer % every == 0 else dense for layer in range(n_layers))
