"""Sharper scores train at least as fast, and scores of cosines need a strength of the order of ln n."""

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.scales.cosine import Cosine
from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater, NotWorse
from paribus.lab.trend import Trend
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.rotary import Rotary
from paribus.text.corpora.python_stdlib import PythonStdlib
from paribus.training.recipe import Recipe

TRAINED = 128

plain = DecoderLM.Config(
    n_layers=2,
    d_model=128,
    mixer=GroupedQuery.Config(n_heads=2, position=Rotary(), scale=InverseSqrt()),
    feed_forward=FeedForward.Config(d_ff=512, activation=SquaredReLU()),
)

claim = Claim(
    title="How sharp should attention start?",
    statement="Scores 2.5 <q, k> / sqrt(d) train at least as well as <q, k> / sqrt(d), and scores of cosines train "
    "well with the strength that maximises the gradient of the softmax, and badly without any.",
    source="苏剑林, 从梯度最大化看Attention的Scale操作, 2023-10-22, kexue.fm/archives/9812",
    arms=[
        Arm("plain", plain),
        Arm("sharper", plain.with_mixer(scale=InverseSqrt(factor=2.5))),
        Arm("cosine-1", plain.with_mixer(scale=Cosine(strength=1.0))),
        # theory.attention_scale.alpha_star_cosine(n=64, d=64): half of the trained length, the width of a head.
        Arm("cosine-13", plain.with_mixer(scale=Cosine(strength=13.4))),
    ],
    task=Trained(
        data=Text(corpus=PythonStdlib()),
        train_length=TRAINED,
        metric=LastTokens(last=64, at=(TRAINED,), windows=256),
        recipe=Recipe(dtype="bfloat16"),  # twice as fast as float32 on the CPU where this was sized
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 32 * TRAINED), seeds=range(2), learning_rates=(4e-3,)),
        "hour": Profile(
            budget=Budget(tokens=400 * 32 * TRAINED),
            seeds=range(8),
            learning_rates=(2e-3, 4e-3, 8e-3),
            tuning_fraction=1 / 3,
            expected_sd={"sharper": 0.015, "cosine-needs-strength": 0.03, "cosine-matches": 0.015},
            note="expected sd: guesses before the first run",
        ),
        # The source speaks of the start of training: the loss at an early step and later, at one rate for all arms.
        "trend": Profile(
            budget=Budget(tokens=400 * 32 * TRAINED),
            seeds=range(4),
            learning_rates=(4e-3,),
            trend=Trend(shares=(0.125, 0.4)),
            note="the rate is the middle of the grid of the hour profile",
        ),
    },
    primary="sharper",
    predicts=[
        NotWorse(
            "sharper",
            "sharper",
            than="plain",
            metric="loss@128",
            margin=0.02,  # about 1 % of the loss
            provenance="blind; the source derives it for the first steps and trains nothing",
            dated="2026-11-22",
        ),
        Greater(
            "cosine-needs-strength",
            "cosine-13",
            than="cosine-1",
            metric="loss@128",
            by=0.05,
            margin=0.05,
            provenance="blind; the source says that cosine scores without a strength barely train",
            dated="2026-11-22",
        ),
        NotWorse(
            "cosine-matches",
            "cosine-13",
            than="plain",
            metric="loss@128",
            margin=0.02,
            provenance="blind; the source derives it for the first steps and trains nothing",
            dated="2026-11-22",
        ),
    ],
    notes="The derivation is of scores of variance 1, which holds at the start only, and its expectation step is "
    "invalid at its own optimum: see paribus.theory.attention_scale. Each arm has its own learning rate, so a "
    "difference in speed that a rate can make up for does not show.",
)
