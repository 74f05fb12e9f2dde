"""Linear attention loses more where the mask is open than where it is causal."""

from dataclasses import replace

from paribus.attention.linear import LinearAttention
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.claims.mixers.mixed_directions import TASK, both
from paribus.lab.claim import Arm, Budget, Claim, Profile
from paribus.lab.combinations import Added
from paribus.lab.predictions import Greater
from paribus.positions.rotary import Rotary

LENGTH, STEPS = 128, 400

linear = replace(both, mixer=LinearAttention.Config(n_heads=4, position=Rotary(), mask=Bidirectional()))

claim = Claim(
    title="Where does linear attention lose?",
    statement="Linear attention instead of softmax costs more loss in a model that looks both ways than in one that "
    "looks back only, on the same masked text.",
    source="苏剑林, 为什么现在的LLM都是Decoder-only的架构？, 2023-03-17, kexue.fm/archives/9529; "
    "线性Transformer应该不是你要等的那个模型, 2021-08-09, kexue.fm/archives/8610",
    arms=[
        Arm("softmax", both),
        Arm("linear", linear),
        Arm("causal-softmax", both.with_mixer(mask=Causal())),
        Arm("causal-linear", linear.with_mixer(mask=Causal())),
    ],
    task=TASK,
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 32 * LENGTH), seeds=range(2), learning_rates=(4e-3,)),
        "hour": Profile(
            budget=Budget(tokens=STEPS * 32 * LENGTH),
            seeds=range(8),
            learning_rates=(2e-3, 4e-3, 8e-3),
            tuning_fraction=1 / 3,
            expected_sd={"larger-gap": 0.02, "gap": 0.02, "causal-gap": 0.02},
            note="expected sd: guesses before the first run",
        ),
    },
    primary="larger-gap",
    predicts=[
        # What linear would be if it lost as much as under a causal mask, against what it is.
        Greater(
            "larger-gap",
            Added("softmax", "causal-linear", "causal-softmax"),
            than="linear",
            metric="loss@128",
            margin=0.015,
            provenance="published as an expectation: a causal mask makes the matrix of full rank, an open linear one "
            "has the rank of a head; blind",
            dated="2026-11-22",
        ),
        Greater(
            "gap",
            "softmax",
            than="linear",
            metric="loss@128",
            by=0.02,
            margin=0.015,
            provenance="published (linear attention worse at the same head width); blind at this size",
            dated="2026-11-22",
        ),
        Greater(
            "causal-gap",
            "causal-softmax",
            than="causal-linear",
            metric="loss@128",
            margin=0.015,
            provenance="blind",
            dated="2026-11-22",
        ),
    ],
    notes="15 % of the bytes are hidden and asked for; arms that look back only fill the holes from the left. Features "
    "elu + 1, heads of 32 numbers, RoPE in the numerator. Why it should be so is the rank of the attention matrix; "
    "linear-attention-rank measures that rank.",
)
