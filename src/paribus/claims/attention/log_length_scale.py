"""Scaling scores by ln n, trained in, keeps attention sharp on longer text."""

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.scales.log_length import LogLength
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater, NotWorse
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary
from paribus.text.corpora.python_stdlib import PythonStdlib

TRAINED = 64
PROVENANCE = "published for masked models (+0.046 at 2x, +0.110 at 4x, 43 % accuracy); blind for a causal one"

plain = DecoderLM.Config(
    n_layers=2,
    d_model=128,
    mixer=GroupedQuery.Config(n_heads=4, position=Rotary()),
    feed_forward=FeedForward.Config(d_ff=512, activation=SquaredReLU()),
)
# Base 64: the factor is 1 for the last token of a training window.
scaled = plain.with_mixer(scale=LogLength(base=TRAINED))
clipped = Rotary(map=ReRoPE(window=32))

claim = Claim(
    title="Scores that grow with ln n",
    statement="Multiplying attention scores by ln n / ln 64 in training, n the number of visible tokens, helps beyond "
    "the trained length and costs nothing within it.",
    source="苏剑林, 从熵不变性看Attention的Scale操作, 2021-12-21, kexue.fm/archives/8823",
    arms=[
        Arm("plain", plain),
        Arm("log-length", scaled),
        Arm("plain-rerope", plain.with_mixer(position=clipped), reads="plain"),
        Arm("log-length-rerope", scaled.with_mixer(position=clipped), reads="log-length"),
    ],
    task=Trained(
        data=Text(corpus=PythonStdlib()),
        train_length=TRAINED,
        metric=LastTokens(last=32, at=(64, 128, 256), windows=128),
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 32 * TRAINED), seeds=range(2), learning_rates=(4e-3,)),
        "laptop": Profile(
            budget=Budget(tokens=250 * 32 * TRAINED),
            seeds=range(8),
            learning_rates=(2e-3, 4e-3, 8e-3),
            tuning_fraction=1 / 3,
        ),
        "hour": Profile(
            budget=Budget(tokens=1500 * 32 * TRAINED),
            seeds=range(8),
            learning_rates=(1e-3, 2e-3, 4e-3),
            tuning_fraction=1 / 3,
        ),
    },
    primary="longer-with-rerope",
    predicts=[
        # RoPE itself fails beyond the trained length under any scale; so the scale is judged where positions hold.
        Greater(
            "longer-with-rerope",
            "log-length-rerope",
            than="plain-rerope",
            metric="accuracy@256",
            margin=0.005,
            provenance=PROVENANCE,
            dated="2026-11-22",
        ),
        Greater(
            "longer",
            "log-length",
            than="plain",
            metric="accuracy@256",
            margin=0.005,
            provenance=PROVENANCE,
            dated="2026-11-22",
        ),
        NotWorse(
            "in-length",
            "log-length",
            than="plain",
            metric="accuracy@64",
            margin=0.005,
            provenance="published (-0.0016 for masked models); blind for a causal one",
            dated="2026-11-22",
        ),
    ],
    notes="The post's table is of a masked language model with full attention; here n is the row's own number of "
    "visible keys.",
)
