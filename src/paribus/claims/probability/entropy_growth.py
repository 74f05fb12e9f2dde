"""How the entropy of an attention row grows with the number of keys, under each factor on its scale."""

import math
from typing import Any

import numpy as np

from paribus.core.seed import generator
from paribus.lab.claim import Arm, Claim, Measured, Profile
from paribus.lab.predictions import Greater
from paribus.theory.attention_entropy import entropy, factor
from paribus.theory.sphere import cosines

HEAD_DIM, FEW, MANY, ROWS = 64, 64, 4096, 64
SPREAD = 2.0  # standard deviation of Gaussian scores at the factor 1
MATCH, NOISE = 6.24, 0.5  # score of the one matching key, ln 512, and the deviation of all others


def measure(law: dict[str, Any], replicate: int) -> dict[str, float]:
    """From 64 keys to 4096: growth of the entropy in nats, and the weight that a matching key loses.

    "sphere": keys uniform on the sphere of radius sqrt(64), the query of that length, scale 1/8: what the source
    derives its factor from. "gaussian": scores ~ N(0, 2^2). "match": one key of score 6.24 among others ~ N(0, 0.5^2),
    a gap that does not grow with n. Draws are the same for every arm.
    """
    random = generator("entropy growth", replicate)
    found = {name: np.empty(2) for name in ("sphere", "gaussian", "match")}
    for place, n in enumerate((FEW, MANY)):
        scale = float(factor(law["law"], n, law["base"]))
        on_sphere = HEAD_DIM * cosines(random, HEAD_DIM, (ROWS, n))
        found["sphere"][place] = entropy(on_sphere, scale / math.sqrt(HEAD_DIM)).mean()
        found["gaussian"][place] = entropy(SPREAD * random.standard_normal((ROWS, n)), scale).mean()
        scores = NOISE * random.standard_normal((ROWS, n))
        scores[:, 0] = MATCH
        weights = np.exp(scale * (scores - MATCH))
        found["match"][place] = (weights[:, 0] / weights.sum(-1)).mean()
    return {
        "sphere": found["sphere"][1] - found["sphere"][0],
        "gaussian": found["gaussian"][1] - found["gaussian"][0],
        "match": found["match"][0] - found["match"][1],
        "entropy": found["sphere"][1],
    }


SEEN = "informed by a sketch of 4 draws of 32 rows"

claim = Claim(
    title="Does ln n hold the entropy of attention?",
    statement="Scaling scores by ln n / ln 512 takes at least half off the growth of attention entropy with the number "
    "of keys, when keys are spread evenly over the sphere.",
    source="苏剑林, 从熵不变性看Attention的Scale操作, 2021-12-21, kexue.fm/archives/8823; "
    "熵不变性Softmax的一个快速推导, 2022-04-11, kexue.fm/archives/9034",
    arms=[
        Arm("constant", {"law": "constant", "base": 512}),
        Arm("log", {"law": "log", "base": 512}),
        Arm("sqrt-log", {"law": "sqrt_log", "base": 512}),
        Arm("natural-log", {"law": "log", "base": math.e}),
    ],
    task=Measured(
        measure=measure,
        unit="draw",
        units={
            "sphere": "nats from 64 to 4096 keys",
            "gaussian": "nats from 64 to 4096 keys",
            "match": "of the weight, from 64 to 4096 keys",
            "entropy": "nats at 4096 keys",
        },
        lower_is_better=("sphere", "gaussian", "match"),
    ),
    profiles={"smoke": Profile(seeds=range(2)), "laptop": Profile(seeds=range(16))},
    primary="halves-on-the-sphere",
    predicts=[
        Greater(
            "halves-on-the-sphere",
            "log",
            than="constant",
            metric="sphere",
            by=2.0,
            margin=0.1,
            provenance=f"published as 'insensitive to n', without a number; {SEEN}, which says 0.6 of 4.15",
            dated="2026-11-22",
        ),
        Greater(
            "slows-on-the-sphere",
            "log",
            than="constant",
            metric="sphere",
            by=0.5,
            margin=0.1,
            provenance=f"{SEEN} (0.63)",
            dated="2026-11-22",
        ),
        Greater(
            "halves-for-gaussian-scores",
            "log",
            than="constant",
            metric="gaussian",
            by=1.8,
            margin=0.1,
            provenance=f"{SEEN} (about 2.0 of 3.8)",
            dated="2026-11-22",
        ),
        Greater(
            "log-before-sqrt-log",
            "log",
            than="sqrt-log",
            metric="gaussian",
            by=0.8,
            margin=0.1,
            provenance=f"{SEEN} (about 1.0); the limit of many Gaussian scores was read as sqrt(ln n) before",
            dated="2026-11-22",
        ),
        Greater(
            "keeps-the-match",
            "log",
            than="constant",
            metric="match",
            by=0.5,
            margin=0.05,
            provenance=f"derived: e^s against n - 1 others is steady iff s grows as ln n; {SEEN} (0.73)",
            dated="2026-11-22",
        ),
        Greater(
            "natural-log-is-flat",
            "natural-log",
            than="constant",
            metric="sphere",
            by=4.0,
            margin=0.1,
            provenance=f"{SEEN} (4.3); the source rejects this factor as too peaked",
            dated="2026-11-22",
        ),
        Greater(
            "natural-log-is-peaked",
            "log",
            than="natural-log",
            metric="entropy",
            by=5.0,
            margin=0.1,
            provenance=f"{SEEN} (7.5 against 1.1 nats at 4096 keys)",
            dated="2026-11-22",
        ),
    ],
    notes="Random keys, not those of a trained model: a model may learn keys whose gap does not grow with n, and then "
    "the third measure is the one that speaks of it. Entropy itself is no good in every task; what is claimed is that "
    "it changes little with n.",
)
