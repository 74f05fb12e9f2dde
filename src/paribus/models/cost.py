"""What a decoder costs, from its configuration alone: parameters, FLOPs, caches, and where its length takes over.

    cost per token at length n = rest + quadratic(n);  the two meet at n = 6 d_model in a plain layer, and at 12 d_model
    where the pairs above the diagonal are skipped

The output matrix is no part of a layer: it stands apart, and does not enter the meeting point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from paribus.core.config import part_name, require
from paribus.layers.feed_forward.base import FeedForwardConfig
from paribus.models.decoder import DecoderLM
from paribus.theory import flops

FAR = 1 << 22  # tokens: beyond every chunk, window and table, so that costs grow as they will for ever


@dataclass(frozen=True)
class Cost:
    """Numbers of one configuration at one length and batch; FLOPs are those of a forward pass, per token."""

    length: int
    batch: int
    parameters: int
    active_parameters: int  # of them those that a token meets: all but the experts that are not chosen
    parameters_by_part: dict[str, int]
    flops: float  # all pairs, as a dense backend executes them
    flops_skipping: float  # pairs above the diagonal skipped
    flops_head: int  # of them in the output matrix
    quadratic: float  # of `flops`, what grows with the length
    quadratic_skipping: float
    training_flops: float  # three forward passes
    step_flops: int | None  # of one sequence, in the decoding step of token number `length`; None: it cannot decode
    step_bytes: int | None  # weights and caches that such a step of the batch reads
    cache_bytes_per_token: float  # of all layers, what one more token adds
    cache_bytes: int  # of the batch at this length
    weight_bytes: int
    meets: int | None  # the length where the quadratic part of the layers reaches their rest; None: it never does
    meets_skipping: int | None
    cache_meets_weights: int | None  # the length where reading the caches of the batch costs what reading weights does


def layers_flops(config: DecoderLM.Config, length: int, causal: bool) -> int:
    """Forward FLOPs of the layers alone, for one sequence."""
    mixers = sum(mixer.flops(length, causal=causal) for mixer in config.layer_mixers())
    return mixers + sum(network.flops(length) for network in config.layer_feed_forwards())


def slope(config: DecoderLM.Config, causal: bool) -> Fraction:
    """By how much a token's FLOPs grow with each token more: b of a quadratic e + a n + b n^2."""
    one, two, three = (layers_flops(config, times * FAR, causal) for times in (1, 2, 3))
    return Fraction(three - 2 * two + one, 2 * FAR**2)


def rest_per_token(config: DecoderLM.Config) -> Fraction:
    """FLOPs of the layers per token that do not depend on the length, once it is long: a."""
    one, two = (layers_flops(config, times * FAR, False) for times in (1, 2))
    return Fraction(two - one, FAR) - 3 * slope(config, False) * FAR


def meeting(config: DecoderLM.Config, causal: bool) -> int | None:
    """The first length at which the quadratic part is as large as the rest."""
    growth, rest = slope(config, causal), rest_per_token(config)
    # What a last chunk leaves over is no growth.
    return None if 1000 * FAR * growth < rest else round(rest / growth)


def cost(config: DecoderLM.Config, length: int, batch: int = 1, bytes_each: int = 4) -> Cost:
    """bytes_each: of a number in weights and caches, 4 for float32 and 2 for bfloat16."""
    require(length >= 1, f"length = {length}: expected at least 1 token")
    require(batch >= 1, f"batch = {batch}: expected at least 1 sequence")
    mixers, networks = config.layer_mixers(), config.layer_feed_forwards()
    parts = {
        " + ".join(sorted({part_name(type(mixer)) for mixer in mixers})): sum(m.n_parameters() for m in mixers),
        **_by_name(networks),
        "norms": (2 * config.n_layers + 1) * config.layer_norm().n_parameters(),
        "embeddings": config.vocab_size * config.d_model * (1 if config.tie_embeddings else 2),
    }
    parameters = sum(parts.values())
    head = flops.linear(1, config.d_model, config.vocab_size)
    rest = float(rest_per_token(config))
    per_token, skipping = (layers_flops(config, length, causal) / length + head for causal in (False, True))
    added = (
        (config.state_bytes(2 * FAR, bytes_each) - config.state_bytes(FAR, bytes_each)) / FAR if config.causal else 0
    )
    held = batch * config.state_bytes(length, bytes_each) if config.causal else 0
    read = parameters - sum(network.n_parameters() - network.parameters_read(batch) for network in networks)
    return Cost(
        length=length,
        batch=batch,
        parameters=parameters,
        active_parameters=config.active_parameters(),
        parameters_by_part=parts,
        flops=per_token,
        flops_skipping=skipping,
        flops_head=head,
        quadratic=max(0.0, per_token - head - rest),
        quadratic_skipping=max(0.0, skipping - head - rest),
        training_flops=flops.TRAINING_FACTOR * per_token,
        step_flops=_step_flops(config, length) if config.causal else None,
        step_bytes=round(read * bytes_each) + held if config.causal else None,
        cache_bytes_per_token=added,
        cache_bytes=held,
        weight_bytes=parameters * bytes_each,
        meets=meeting(config, False),
        meets_skipping=meeting(config, True),
        cache_meets_weights=round(read * bytes_each / (batch * added)) if added > 0 else None,
    )


def _step_flops(config: DecoderLM.Config, length: int) -> int:
    mixers = sum(mixer.step_flops(length) for mixer in config.layer_mixers())
    networks = sum(network.flops(1) for network in config.layer_feed_forwards())
    return mixers + networks + flops.linear(1, config.d_model, config.vocab_size)


def _by_name(networks: Sequence[FeedForwardConfig]) -> dict[str, int]:
    found: dict[str, int] = {}
    for network in networks:
        name = part_name(type(network))
        found[name] = found.get(name, 0) + network.n_parameters()
    return found
