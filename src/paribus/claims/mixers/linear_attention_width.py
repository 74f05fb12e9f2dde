"""Linear attention with heads four times as wide saves time from a length of 32 head widths on."""

import math
import time
from dataclasses import replace

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.linear import LinearAttention
from paribus.core.seed import derive
from paribus.lab.claim import Arm, Claim, Measured, Profile
from paribus.lab.predictions import Greater, NotWorse
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.no_position import NoPosition

WIDTH = 32  # of a head of softmax
RATIOS = (8, 16, 32, 64, 128)  # length / WIDTH
D_MODEL, TOKENS = 256, 4096


def measure(model: DecoderLM.Config, replicate: int) -> dict[str, float]:
    """ln of the CPU microseconds per token of a training step of one layer without its embedding, at five lengths.

    Lengths are 8 to 128 times 32; batches of 4096 tokens; float32, one thread, best of 3 after one step of warming up.
    """
    import torch

    from paribus.layers.parameters import draw

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    built = model.build()
    draw(built, replicate)
    random = torch.Generator().manual_seed(derive("linear-attention-width", replicate))
    found = {}
    for ratio in RATIOS:
        length = ratio * WIDTH
        x = torch.randn(TOKENS // length, length, D_MODEL, generator=random, requires_grad=True)
        positions, best = torch.arange(length)[None], math.inf
        for step in range(4):
            start = time.process_time()
            built.layers[0](x, positions).square().mean().backward()
            if step:
                best = min(best, time.process_time() - start)
        found[f"time@{ratio}"] = math.log(1e6 * best / TOKENS)
    torch.set_num_threads(threads)
    return found


softmax = DecoderLM.Config(
    n_layers=1,
    d_model=D_MODEL,
    mixer=GroupedQuery.Config(n_heads=D_MODEL // WIDTH, position=NoPosition()),
    feed_forward=FeedForward.Config(d_ff=4 * D_MODEL),
)


def linear(n_heads: int, head_dim: int) -> DecoderLM.Config:
    return replace(softmax, mixer=LinearAttention.Config(n_heads=n_heads, head_dim=head_dim, position=NoPosition()))


claim = Claim(
    title="From which length on do wider heads of linear attention pay?",
    statement="Linear attention with as many heads as softmax, each four times as wide, takes less time for a training "
    "step of a layer at a length of 32 widths of a head of softmax.",
    source="苏剑林, 线性Transformer应该不是你要等的那个模型, 2021-08-09, kexue.fm/archives/8610",
    arms=[
        Arm("softmax 8x32", softmax),
        Arm("linear 8x32", linear(8, 32)),
        Arm("linear 8x128", linear(8, 128)),
        Arm("linear 2x128", linear(2, 128)),
    ],
    task=Measured(
        measure=measure,
        unit="draw",
        units={f"time@{ratio}": "ln CPU microseconds per token" for ratio in RATIOS},
        lower_is_better=tuple(f"time@{ratio}" for ratio in RATIOS),
    ),
    profiles={"smoke": Profile(seeds=range(2)), "laptop": Profile(seeds=range(8))},
    primary="pays-at-32",
    predicts=[
        Greater(
            "pays-at-32",
            "linear 8x128",
            than="softmax 8x32",
            metric="time@32",
            margin=0.05,
            provenance="published as arithmetic: the operation alone is cheaper beyond 16 widths, within a factor of "
            "2; doubted, since the count leaves out that projections are four times as large; blind",
            dated="2026-11-23",
        ),
        Greater(
            "not-yet-at-8",
            "softmax 8x32",
            than="linear 8x128",
            metric="time@8",
            by=0.1,
            margin=0.05,
            provenance="published as the same arithmetic; blind",
            dated="2026-11-23",
        ),
        Greater(
            "not-yet-at-64",
            "softmax 8x32",
            than="linear 8x128",
            metric="time@64",
            by=0.1,
            margin=0.05,
            provenance="derived against the source: with its projections counted such a layer costs twice the FLOPs of "
            "one without attention, which softmax reaches beyond 6 to 12 d_model, 48 to 96 widths here; blind",
            dated="2026-11-23",
        ),
        NotWorse(
            "few-wide-heads-cost-little",
            "linear 2x128",
            than="linear 8x32",
            metric="time@32",
            margin=math.log(1.25),
            provenance="derived: of equal projections, sums four times as large are a small part of a layer; blind",
            dated="2026-11-23",
        ),
        Greater(
            "few-wide-heads-pay-at-64",
            "linear 2x128",
            than="softmax 8x32",
            metric="time@64",
            by=0.2,
            margin=0.1,
            provenance="derived from linear-attention-cost (linear 8x32 is 0.46 ahead there) and the one before",
            dated="2026-11-23",
        ),
    ],
    notes="One layer of 256 with its feed-forward network of 1024, features elu + 1, no positions in any arm. Softmax "
    "runs the program that the library chooses for the length. What the width is worth in loss is in "
    "linear-attention-heads.",
)
