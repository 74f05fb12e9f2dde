"""From one attention to another with the same function, or with a stated error: MHA -> GQA -> MLA.

to_grouped   heads of a group share the mean of their key and value matrices; the error says what is lost
to_latent    exact: the latent is the keys and values themselves, and the learned maps begin as selections
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.latent import Latent
from paribus.core.config import require
from paribus.layers.mixer import Mixer
from paribus.positions.no_position import NoPosition


class Grouped(NamedTuple):
    """key_error, value_error: sqrt(sum_h |W_h - mean_g W|^2 / sum_h |W_h|^2), in [0, 1].

    For inputs whose coordinates are uncorrelated and of one variance this is the root mean square error of a key or a
    value beside its root mean square size.
    """

    layer: GroupedQuery
    key_error: float
    value_error: float


@torch.no_grad()
def to_grouped(layer: GroupedQuery, n_kv_heads: int) -> Grouped:
    """Fewer key and value heads by the mean of the heads that come to share one (Ainslie et al., arXiv:2305.13245).

    n_kv_heads must divide the layer's own number. Raises ConfigError otherwise.
    """
    config = layer.config
    require(
        1 <= n_kv_heads <= config.kv_heads and config.kv_heads % n_kv_heads == 0,
        f"{config.kv_heads} key heads cannot be averaged into {n_kv_heads}: give a divisor",
    )
    shared = config.kv_heads // n_kv_heads
    grouped = replace(config, n_kv_heads=n_kv_heads).build().to(layer.key.weight)
    errors = []
    for name, own in layer.named_parameters():
        target = grouped.get_parameter(name)
        if name not in ("key.weight", "value.weight"):
            target.copy_(own)
            continue
        heads = own.view(n_kv_heads, shared, config.d_head, -1)
        mean = heads.mean(dim=1, keepdim=True)
        target.copy_(mean.flatten(0, 2))
        errors.append(float(((heads - mean).square().sum() / own.square().sum()).sqrt()))
    return Grouped(grouped, *errors)


@torch.no_grad()
def to_latent(layer: GroupedQuery) -> Latent:
    """The same function with a latent of 2 n_kv_heads head_dim numbers: as wide a cache, and maps that can now learn.

    Only without rotation: the keys of several groups, each turned by its place, are no function of one latent that
    knows no place. Raises ConfigError for a layer with a position code, and for a scale that changes keys.
    """
    config = layer.config
    require(
        isinstance(config.position, NoPosition),
        f"{type(config.position).__name__} turns keys by their place, which a latent read by fixed matrices cannot "
        "follow: convert a layer without positions, or train a latent attention with rope_dim > 0",
    )
    d_head, groups, heads = config.d_head, config.kv_heads, config.n_heads
    latent = Latent.Config(
        d_model=config.d_model,
        residual_gain=config.residual_gain,
        n_heads=heads,
        latent=2 * groups * d_head,
        rope_dim=0,
        head_dim=d_head,
        position=config.position,
        scale=config.scale,
        normalizer=config.normalizer,
        mask=config.mask,
    )
    built = latent.build().to(layer.key.weight)
    built.query.weight.copy_(layer.query.weight)
    built.out.weight.copy_(layer.out.weight)
    built.latent.weight.copy_(torch.cat((layer.key.weight, layer.value.weight)))
    # Head h reads the rows of its group: first the keys of all groups, then the values.
    group = torch.arange(heads).div(heads // groups, rounding_mode="floor")
    rows = (group[:, None] * d_head + torch.arange(d_head)).flatten()
    for target, offset in ((built.key.weight, 0), (built.value.weight, groups * d_head)):
        target.zero_()
        target[torch.arange(heads * d_head), rows + offset] = 1.0
    built.normalizer = layer.normalizer
    return built


@torch.no_grad()
def output_error(before: Mixer, after: Mixer, x: Tensor, positions: Tensor) -> float:
    """Root mean square difference of two layers' outputs on real inputs, beside the size of the first."""
    y = before(x, positions)
    return float((after(x, positions) - y).norm() / y.norm())
