"""Attention's quadratic part costs as much time as the rest of a layer where the count of FLOPs says so."""

import math
import time
from typing import Any

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.seed import derive
from paribus.lab.claim import Arm, Claim, Measured, Profile
from paribus.lab.predictions import Equivalent, Greater
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.no_position import NoPosition

RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # length / d_model


def measure(form: dict[str, Any], replicate: int) -> dict[str, float]:
    """ln of (a / b) / d_model, where a n + b n^2 is what a sequence of n tokens takes in one layer.

    a and b by least squares of the relative error over lengths of a quarter to 8 times d_model. form: "d_model", and
    "by": "time", CPU time of a training step without the embedding (float32, one thread, best of 3 after one step of
    warming up), or "count", FLOPs with all pairs.
    """
    import numpy as np

    config = layer(form["d_model"])
    lengths = [int(ratio * config.d_model) for ratio in RATIOS]
    if form["by"] == "count":
        mixer, network = config.layer_mixers()[0], config.layer_feed_forwards()[0]
        taken = [float(mixer.flops(n) + network.flops(n)) for n in lengths]
    else:
        taken = [_seconds(config, n, replicate) for n in lengths]
    n, t = np.asarray(lengths, float), np.asarray(taken)
    (a, b), *_ = np.linalg.lstsq(np.stack([n / t, n**2 / t], axis=1), np.ones(len(n)), rcond=None)
    return {"threshold": math.log(a / b / config.d_model)}


def _seconds(config: DecoderLM.Config, length: int, replicate: int) -> float:
    """For one sequence, of a batch of about 16 d_model tokens."""
    import torch

    from paribus.layers.parameters import draw

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    built = config.build()
    draw(built, replicate)
    random = torch.Generator().manual_seed(derive("quadratic-part", replicate))
    batch = 16 * config.d_model // length
    x = torch.randn(batch, length, config.d_model, generator=random, requires_grad=True)
    positions, best = torch.arange(length)[None], math.inf
    for step in range(4):
        start = time.process_time()
        built.layers[0](x, positions).square().mean().backward()
        if step:
            best = min(best, time.process_time() - start)
    torch.set_num_threads(threads)
    return best / batch


def layer(d_model: int) -> DecoderLM.Config:
    return DecoderLM.Config(
        n_layers=1,
        d_model=d_model,
        mixer=GroupedQuery.Config(n_heads=d_model // 32, position=NoPosition()),
        feed_forward=FeedForward.Config(d_ff=4 * d_model),
    )


KEPT = "; informed by the times that linear-attention-cost kept, from which a fit gives about 11, 10 and 9 by width"

claim = Claim(
    title="Where does the quadratic part begin to matter?",
    statement="In a layer of width 256 the quadratic part of softmax attention takes as much time as all the rest at a "
    "length of 6 d_model, within a factor of 3.",
    source="苏剑林, 线性Transformer应该不是你要等的那个模型, 2021-08-09, kexue.fm/archives/8610",
    arms=[
        Arm(f"{by} {d_model}", {"d_model": d_model, "by": word})
        for d_model in (128, 256, 512)
        for by, word in (("timed", "time"), ("counted", "count"))
    ],
    task=Measured(measure=measure, unit="draw", units={"threshold": "ln of length over d_model"}),
    profiles={"smoke": Profile(seeds=range(2)), "laptop": Profile(seeds=range(8))},
    primary="as-counted-256",
    predicts=[
        *(
            Equivalent(
                f"as-counted-{d_model}",
                f"timed {d_model}",
                than=f"counted {d_model}",
                metric="threshold",
                margin=math.log(3),
                provenance=f"published as arithmetic: 6 d_model{KEPT}",
                dated="2026-11-23",
            )
            for d_model in (128, 256, 512)
        ),
        *(
            Greater(
                f"later-{d_model}",
                f"timed {d_model}",
                than=f"counted {d_model}",
                metric="threshold",
                by=0.1,
                margin=0.05,
                provenance="derived: a kernel that skips the pairs above the diagonal moves 6 d_model towards "
                f"12{KEPT}",
                dated="2026-11-23",
            )
            for d_model in (128, 512)
        ),
    ],
    notes="Counted: FLOPs with all pairs, so that the threshold is 6 d_model. Timed: forward and backward through one "
    "layer with its feed-forward network of 4 d_model, heads of 32 numbers. Higher means that the quadratic part comes "
    "later; neither end is better.",
)
