"""An open attention matrix has the higher rank as soon as its logits are of usual size."""

import math
from typing import Any

from paribus.core.seed import derive
from paribus.lab.claim import Arm, Claim, Measured, Profile
from paribus.lab.predictions import Greater

LENGTH, HEAD_DIM = 256, 32


def measure(form: dict[str, Any], replicate: int) -> dict[str, float]:
    """Attention of 256 random queries over as many random keys of 32 numbers, in float64.

    "effective rank": exp of the entropy of the singular values, normalised to sum 1, in 1 ... 256. "condition": log10
    of the largest over the smallest singular value, at most 16, where float64 ends. form: "causal" or not, "std" of
    the logits, "linear" (features elu + 1 of queries and keys of that deviation) or softmax.
    """
    import torch
    from torch.nn import functional as F

    random = torch.Generator().manual_seed(derive("rank", replicate))
    q, k = (torch.randn(LENGTH, HEAD_DIM, dtype=torch.float64, generator=random) for _ in range(2))
    seen = torch.ones(LENGTH, LENGTH, dtype=torch.bool)
    if form["causal"]:
        seen = seen.tril()
    if form["linear"]:
        size = math.sqrt(form["std"])
        weights = ((F.elu(size * q) + 1) @ (F.elu(size * k) + 1).T).masked_fill(~seen, 0.0)
        weights = weights / weights.sum(-1, keepdim=True)
    else:
        logits = form["std"] * (q @ k.T) / math.sqrt(HEAD_DIM)
        weights = torch.softmax(logits.masked_fill(~seen, -torch.inf), -1)
    values = torch.linalg.svdvals(weights)
    share = values / values.sum()
    smallest = max(float(values[-1]), 1e-16 * float(values[0]))
    return {
        "effective rank": float(torch.special.entr(share).sum().exp()),
        "condition": math.log10(float(values[0]) / smallest),
    }


def form(causal: bool, std: float, linear: bool = False) -> dict[str, Any]:
    return {"causal": causal, "std": std, "linear": linear}


SEEN = "informed by one draw, noted before this claim was written"

claim = Claim(
    title="Which attention matrix has the higher rank?",
    statement="At logits of standard deviation 1, softmax attention that looks both ways has a higher effective rank "
    "than causal attention: the reverse of what the determinant suggests.",
    source="苏剑林, 为什么现在的LLM都是Decoder-only的架构？, 2023-03-17, kexue.fm/archives/9529",
    arms=[
        *(
            Arm(f"{'causal' if causal else 'open'} {std:g}", form(causal, std))
            for std in (0.1, 0.3, 1.0, 3.0)
            for causal in (False, True)
        ),
        Arm("linear open 1", form(False, 1.0, linear=True)),
        Arm("linear causal 1", form(True, 1.0, linear=True)),
    ],
    task=Measured(
        measure=measure,
        unit="draw",
        units={"effective rank": "of 256", "condition": "decades"},
        lower_is_better=("condition",),
    ),
    profiles={"smoke": Profile(seeds=range(2)), "laptop": Profile(seeds=range(16))},
    primary="open-is-higher",
    predicts=[
        Greater(
            "open-is-higher",
            "open 1",
            than="causal 1",
            metric="effective rank",
            by=10,
            margin=5,
            provenance=f"the source says the reverse (causal matrices are of full rank, open ones of low rank); {SEEN}"
            ": 140 against 113",
            dated="2026-11-22",
        ),
        Greater(
            "causal-is-higher-for-flat-rows",
            "causal 0.1",
            than="open 0.1",
            metric="effective rank",
            by=20,
            margin=5,
            provenance=f"published in this direction; {SEEN}: 51 against 9",
            dated="2026-11-22",
        ),
        Greater(
            "open-is-higher-for-sharp-rows",
            "open 3",
            than="causal 3",
            metric="effective rank",
            by=10,
            margin=5,
            provenance=f"{SEEN}: 151 against 121",
            dated="2026-11-22",
        ),
        Greater(
            "open-is-better-conditioned",
            "open 1",
            than="causal 1",
            metric="condition",
            by=5,
            margin=1,
            provenance=f"the source says the reverse of invertibility; {SEEN}: 4.5 against more than 16 decades",
            dated="2026-11-22",
        ),
        Greater(
            "linear-is-low",
            "open 1",
            than="linear open 1",
            metric="effective rank",
            by=50,
            margin=5,
            provenance="derived: a product of 32 features has rank 32 at the most",
            dated="2026-11-22",
        ),
        Greater(
            "a-mask-lifts-linear",
            "linear causal 1",
            than="linear open 1",
            metric="effective rank",
            by=10,
            margin=5,
            provenance="published in this direction; blind",
            dated="2026-11-22",
        ),
    ],
    notes="Random queries and keys, not trained ones. A causal softmax matrix is invertible on paper, since its "
    "diagonal is positive; in floating point the product of its diagonal vanishes, and its smallest "
    "singular value with it.",
)
