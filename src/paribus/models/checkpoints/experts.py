"""The networks of DeepSeek-V2's layers <-> config.json and tensors: dense ones first, then mixtures of experts.

`mlp.gate` is the router, `mlp.experts.N` one expert, `mlp.shared_experts` all shared ones side by side.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from paribus.core.errors import InputError
from paribus.layers.activations.silu import SiLU
from paribus.layers.feed_forward.base import FeedForwardConfig
from paribus.layers.feed_forward.experts import MixtureOfExperts
from paribus.models.checkpoints.architecture import (
    dense_network,
    gated_tensors,
    gated_width,
    number,
    refuse_others,
    whole,
)
from paribus.models.checkpoints.packed import Packed, same
from paribus.models.decoder import DecoderLM

WORDS = {
    "n_experts": "n_routed_experts",
    "n_active": "num_experts_per_tok",
    "n_shared": "n_shared_experts",
    "n_groups": "n_group",
    "n_active_groups": "topk_group",
    "scale": "routed_scaling_factor",
}


def networks_of(told: Mapping[str, Any]) -> FeedForwardConfig | tuple[FeedForwardConfig, ...]:
    """One network for all layers, or one for each."""
    dense, n_layers = dense_network(told), whole(told, "num_hidden_layers")
    if not told.get("n_routed_experts"):
        return dense
    first = whole(told, "first_k_dense_replace", 0) if told.get("first_k_dense_replace") is not None else 0
    every = whole(told, "moe_layer_freq") if told.get("moe_layer_freq") is not None else 1
    mixed = [layer >= first and layer % every == 0 for layer in range(n_layers)]
    if not any(mixed):
        return dense
    experts = _experts_of(told)
    return experts if all(mixed) else tuple(experts if one else dense for one in mixed)


def _experts_of(told: Mapping[str, Any]) -> MixtureOfExperts.Config:
    method, scores = told.get("topk_method") or "greedy", told.get("scoring_func") or "softmax"
    if method not in ("greedy", "group_limited_greedy"):
        v3 = ", that of DeepSeek-V3," if method == "noaux_tc" else ""
        raise InputError(
            f"config.json has topk_method {method!r}{v3} for its experts: only 'greedy' and 'group_limited_greedy' can "
            "be read; `paribus cost` can price such a model"
        )
    if scores != "softmax":
        raise InputError(
            f"config.json has scoring_func {scores!r} for its experts: only 'softmax' can be read; `paribus cost` can "
            "price such a model"
        )
    limited = method == "group_limited_greedy"
    n_active, scale = whole(told, "num_experts_per_tok"), number(told, "routed_scaling_factor", 1.0)
    # DeepSeek's code normalises several weights only; transformers 5.23 reads past norm_topk_prob.
    normalise = bool(told.get("norm_topk_prob")) and n_active > 1
    if normalise and scale != 1:
        raise InputError(
            f"config.json has norm_topk_prob and routed_scaling_factor = {scale}: of DeepSeek's published codes "
            "DeepSeek-V2's leaves the factor out then, later ones multiply by it, and none is guessed; write 1.0 for "
            "the former"
        )
    return MixtureOfExperts.Config(
        d_ff=whole(told, "moe_intermediate_size"),
        n_experts=whole(told, "n_routed_experts"),
        n_active=n_active,
        n_shared=whole(told, "n_shared_experts", 0) if told.get("n_shared_experts") is not None else 0,
        n_groups=whole(told, "n_group") if limited else 1,
        n_active_groups=whole(told, "topk_group") if limited else 1,
        normalise=normalise,
        scale=scale,
        activation=SiLU(),
    )


def networks_described(config: DecoderLM.Config) -> dict[str, Any]:
    """What config.json says of the networks. Raises InputError for an order or a network that it cannot say."""
    networks = config.layer_feed_forwards()
    mixtures = [network for network in networks if isinstance(network, MixtureOfExperts.Config)]
    dense = config.n_layers - len(mixtures)
    if any(isinstance(network, MixtureOfExperts.Config) for network in networks[:dense]) or len(set(mixtures)) > 1:
        raise InputError("DeepSeek-V2 has dense layers first and then experts, all alike: save the model by save_model")
    told = {"first_k_dense_replace": dense}
    if dense:
        told["intermediate_size"] = gated_width(networks[:dense])
    return told | (_experts_described(mixtures[0], dense) if mixtures else {})


def _experts_described(experts: MixtureOfExperts.Config, dense: int) -> dict[str, Any]:
    refuse_others([(experts.activation, SiLU)])
    if experts.normalise and (experts.scale != 1 or experts.n_active == 1):
        raise InputError(
            f"experts with normalised weights, n_active = {experts.n_active} and scale = {experts.scale} are not of "
            "DeepSeek-V2, which normalises two weights or more and then has no scale: save the model by save_model"
        )
    limited = experts.n_active_groups < experts.n_groups
    told = {
        "n_routed_experts": experts.n_experts,
        "n_shared_experts": experts.n_shared,
        "num_experts_per_tok": experts.n_active,
        "moe_intermediate_size": experts.d_ff,
        "moe_layer_freq": 1,
        "topk_method": "group_limited_greedy" if limited else "greedy",
        "scoring_func": "softmax",
        "n_group": experts.n_groups if limited else 1,
        "topk_group": experts.n_active_groups if limited else 1,
        "norm_topk_prob": experts.normalise,
        "routed_scaling_factor": experts.scale,
    }
    # Read by no layer then, but asked for by every reader.
    return told if dense else told | {"intermediate_size": experts.d_ff}


def networks_tensors(networks: Sequence[FeedForwardConfig]) -> list[Packed]:
    """Every tensor of the networks of all layers."""
    found = []
    for layer, network in enumerate(networks):
        theirs, ours = f"model.layers.{layer}.mlp", f"layers.{layer}.feed_forward"
        if not isinstance(network, MixtureOfExperts.Config):
            found += gated_tensors(theirs, ours)
            continue
        found.append(same(f"{theirs}.gate.weight", f"{ours}.router.weight"))
        for expert in range(network.n_experts):
            found += gated_tensors(f"{theirs}.experts.{expert}", f"{ours}.experts.{expert}")
        if network.n_shared > 0:
            found += gated_tensors(f"{theirs}.shared_experts", f"{ours}.shared")
    return found
