"""Normalised keys need rotations to read longer text."""

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.scales.key_norm import KeyNorm
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater, NotWorse
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.text.corpora.python_stdlib import PythonStdlib
from paribus.training.recipe import Recipe

TRAINED = 64

plain = DecoderLM.Config(
    n_layers=3,
    d_model=128,
    mixer=GroupedQuery.Config(n_heads=4, position=Rotary()),
    feed_forward=FeedForward.Config(d_ff=512, activation=SquaredReLU()),
)

claim = Claim(
    title="Key norm without positions",
    statement="At 8x the trained length a decoder with normalised keys and RoPE is better than one with "
    "normalised keys and "
    "no position code.",
    source="苏剑林, Transformer升级之路：15、Key归一化助力长度外推, 2023-11-20, kexue.fm/archives/9859",
    arms=[
        Arm("rope", plain),
        Arm("key-norm", plain.with_mixer(scale=KeyNorm())),
        Arm("none", plain.with_mixer(position=NoPosition())),
        Arm("key-norm-none", plain.with_mixer(position=NoPosition(), scale=KeyNorm())),
    ],
    task=Trained(
        data=Text(corpus=PythonStdlib()),
        train_length=TRAINED,
        metric=LastTokens(last=32, at=(64, 128, 256, 512), windows=128),
        recipe=Recipe(dtype="bfloat16"),
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 32 * TRAINED), seeds=range(2), learning_rates=(2e-3,)),
        "hour": Profile(
            budget=Budget(tokens=500 * 32 * TRAINED),
            seeds=range(8),
            learning_rates=(1e-3, 2e-3, 4e-3),
            tuning_fraction=1 / 3,
        ),
    },
    primary="needs-rotations",
    predicts=[
        Greater(
            "needs-rotations",
            "key-norm",
            than="key-norm-none",
            metric="accuracy@512",
            margin=0.01,
            provenance="published as a statement without numbers (no extrapolation at all); blind at this size",
            dated="2026-11-22",
        ),
        Greater(
            "in-length",
            "key-norm",
            than="key-norm-none",
            metric="accuracy@64",
            margin=0.01,
            provenance="blind; rotations help at the trained length whatever the scale",
            dated="2026-11-22",
        ),
        Greater(
            "no-help-for-none",
            "key-norm",
            than="none",
            metric="accuracy@512",
            margin=0.01,
            provenance="blind; as the primary, against no positions with plain scores",
            dated="2026-11-22",
        ),
        NotWorse(
            "norm-does-not-hurt",
            "key-norm",
            than="rope",
            metric="accuracy@64",
            margin=0.01,
            provenance="published (+0.0019, 100 M parameters); blind at this size",
            dated="2026-11-22",
        ),
    ],
    notes="A model without positions meets no unseen rotation at any length, so the primary prediction may well "
    "fail here: "
    "the published finding is of a single-head GAU model with post norm.",
)
