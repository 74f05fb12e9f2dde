"""Wider heads close the gap of linear attention to softmax."""

from dataclasses import replace

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.linear import LinearAttention
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater, NotWorse
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.rotary import Rotary
from paribus.text.corpora.python_stdlib import PythonStdlib
from paribus.training.recipe import Recipe

LENGTH, STEPS = 256, 400

softmax = DecoderLM.Config(
    n_layers=2,
    d_model=128,
    mixer=GroupedQuery.Config(n_heads=4, position=Rotary()),
    feed_forward=FeedForward.Config(d_ff=512, activation=SquaredReLU()),
)


def linear(n_heads: int) -> DecoderLM.Config:
    """Heads of 128 / n_heads numbers: all of them together are as wide, so that parameters are equal."""
    return replace(softmax, mixer=LinearAttention.Config(n_heads=n_heads, position=Rotary()))


claim = Claim(
    title="How wide must heads of linear attention be?",
    statement="At equal parameters and tokens a causal decoder with linear attention has less loss with one head of "
    "128 numbers than with four heads of 32.",
    source="苏剑林, 线性Transformer应该不是你要等的那个模型, 2021-08-09, kexue.fm/archives/8610",
    arms=[
        Arm("softmax 4x32", softmax),
        Arm("linear 4x32", linear(4)),
        Arm("linear 2x64", linear(2)),
        Arm("linear 1x128", linear(1)),
    ],
    task=Trained(
        data=Text(corpus=PythonStdlib()),
        train_length=LENGTH,
        metric=LastTokens(last=128, at=(LENGTH,), windows=256),
        recipe=Recipe(batch=16, dtype="bfloat16"),
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 16 * LENGTH), seeds=range(2), learning_rates=(4e-3,)),
        "hour": Profile(
            budget=Budget(tokens=STEPS * 16 * LENGTH),
            seeds=range(12),
            learning_rates=(2e-3, 4e-3, 8e-3),
            tuning_fraction=1 / 3,
            expected_sd={"wider-is-better": 0.02, "worse-at-32": 0.02, "half-way": 0.02, "four-times-is-enough": 0.02},
            note="expected sd: guesses before the first run",
        ),
    },
    primary="wider-is-better",
    predicts=[
        Greater(
            "wider-is-better",
            "linear 1x128",
            than="linear 4x32",
            metric="loss@256",
            margin=0.016,  # 1 % of about 1.6 nats
            provenance="published as reasoning: the rank of a head's matrix is at most its width; blind at this size",
            dated="2026-11-23",
        ),
        Greater(
            "worse-at-32",
            "softmax 4x32",
            than="linear 4x32",
            metric="loss@256",
            by=0.032,  # 2 %
            margin=0.016,
            provenance="published as reasoning: worse at equal width; informed by linear-attention-gap (0.29 nats on "
            "masked text that is read from the left)",
            dated="2026-11-23",
        ),
        Greater(
            "half-way",
            "linear 2x64",
            than="linear 4x32",
            metric="loss@256",
            margin=0.016,
            provenance="published as reasoning, as the first; blind",
            dated="2026-11-23",
        ),
        NotWorse(
            "four-times-is-enough",
            "linear 1x128",
            than="softmax 4x32",
            metric="loss@256",
            margin=0.032,
            provenance="published as a rule of thumb: about four times the width for equal quality; blind, and doubted",
            dated="2026-11-23",
        ),
    ],
    notes="Features elu + 1, RoPE in the numerator. Four times the width with as many heads would have more parameters "
    "in its projections than a whole layer has, so fewer heads are made wider; the time that both take is in "
    "linear-attention-width.",
)
