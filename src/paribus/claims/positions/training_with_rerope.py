"""ReRoPE belongs to reading: a model trained with it does not read longer text."""

from paribus.attention.grouped_query import GroupedQuery
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Equivalent, Greater
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.maps.rerope import ReRoPE
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
mapped = plain.with_mixer(position=Rotary(map=ReRoPE(window=32)))

claim = Claim(
    title="ReRoPE in training",
    statement="A decoder trained at length 64 with ReRoPE reads 8x longer text worse than one that is trained "
    "with plain "
    "RoPE and read with ReRoPE.",
    source="苏剑林, Transformer升级之路：16、“复盘”长度外推技术, 2024-01-26, kexue.fm/archives/9948",
    arms=[
        Arm("plain", plain),
        Arm("trained-with", mapped),
        Arm("read-with", mapped, reads="plain"),
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
            budget=Budget(tokens=600 * 32 * TRAINED),
            seeds=range(8),
            learning_rates=(1e-3, 2e-3, 4e-3),
            tuning_fraction=1 / 3,
        ),
    },
    primary="no-extrapolation",
    predicts=[
        Greater(
            "no-extrapolation",
            "read-with",
            than="trained-with",
            metric="accuracy@512",
            by=0.05,
            margin=0.01,
            provenance="published as a statement without numbers (no extrapolation at all), from one source; "
            "blind at this size",
            dated="2026-11-22",
        ),
        Greater(
            "at-four-times",
            "read-with",
            than="trained-with",
            metric="accuracy@256",
            margin=0.01,
            provenance="published as a statement without numbers; blind at this size",
            dated="2026-11-22",
        ),
        Equivalent(
            "in-length",
            "trained-with",
            than="plain",
            metric="accuracy@64",
            margin=0.01,
            provenance="blind: half of the trained distances are mapped to one",
            dated="2026-11-22",
        ),
    ],
    notes="The finding is surprising and has a single source: the two arms score long text by the very same "
    "function of "
    "their weights.",
)
