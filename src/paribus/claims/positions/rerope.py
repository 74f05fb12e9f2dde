"""ReRoPE reads eight times the trained length with the same weights, at no cost inside it."""

from dataclasses import replace

from paribus.attention.grouped_query import GroupedQuery
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater, NotWorse
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.ntk_aware import NTKAware
from paribus.positions.scaling.position_interpolation import PositionInterpolation
from paribus.text.corpora.python_stdlib import PythonStdlib
from paribus.training.recipe import Recipe

TRAINED, LONGEST = 64, 512

plain = DecoderLM.Config(
    n_layers=3,
    d_model=128,
    mixer=GroupedQuery.Config(n_heads=4, position=Rotary()),
    feed_forward=FeedForward.Config(d_ff=512, activation=SquaredReLU()),
)


def read_with(position: Rotary) -> DecoderLM.Config:
    return plain.with_mixer(position=position)


laptop = Profile(
    budget=Budget(tokens=250 * 32 * TRAINED),
    seeds=range(8),
    learning_rates=(1e-3, 2e-3, 4e-3),
    tuning_fraction=1 / 3,
    expected_sd={"longer": 0.02, "ntk-longer": 0.02, "interpolation-shorter": 0.02, "in-length": 0.003},
    note="expected sd: a guess before the first run",
)

claim = Claim(
    title="Train short, read long",
    statement="A decoder trained at length 64 reads 8x longer text better with ReRoPE than with plain RoPE, with the "
    "same weights and without loss at the trained length.",
    source="苏剑林, Transformer升级之路：12、无限外推的ReRoPE？, 2023-08-07, kexue.fm/archives/9708",
    arms=[
        Arm("plain", plain),
        Arm("interpolation", read_with(Rotary(scaling=PositionInterpolation(factor=8))), reads="plain"),
        Arm("ntk-aware", read_with(Rotary(scaling=NTKAware(factor=8))), reads="plain"),
        Arm("rerope", read_with(Rotary(map=ReRoPE(window=32))), reads="plain"),
    ],
    task=Trained(
        data=Text(corpus=PythonStdlib()),
        train_length=TRAINED,
        metric=LastTokens(last=32, at=(64, 128, 256, LONGEST), windows=128),
        recipe=Recipe(batch=32),
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 32 * TRAINED), seeds=range(2), learning_rates=(2e-3,)),
        "laptop": laptop,
        "hour": replace(laptop, budget=Budget(tokens=1500 * 32 * TRAINED)),
        "gpu": replace(laptop, budget=Budget(tokens=15_000 * 32 * TRAINED), device="cuda"),
    },
    primary="longer",
    predicts=[
        Greater(
            "longer",
            "rerope",
            than="plain",
            metric="accuracy@512",
            by=0.03,
            margin=0.01,
            provenance="informed by a one-seed sketch (+0.06 after 250 steps, +0.35 after 1500)",
            dated="2026-11-22",
        ),
        Greater(
            "ntk-longer",
            "ntk-aware",
            than="plain",
            metric="accuracy@512",
            margin=0.01,
            provenance="published (+0.16 for the NTK-old form, 100 M parameters); blind at this size",
            dated="2026-11-22",
        ),
        Greater(
            "interpolation-shorter",
            "plain",
            than="interpolation",
            metric="accuracy@512",
            margin=0.01,
            provenance="published (+0.10, 100 M parameters); blind at this size",
            dated="2026-11-22",
        ),
        NotWorse(
            "in-length",
            "rerope",
            than="plain",
            metric="accuracy@64",
            margin=0.005,
            provenance="informed by a one-seed sketch (-0.001 after 250 steps, 0.000 after 1500)",
            dated="2026-11-22",
        ),
    ],
    notes="A small multi-head pre-norm byte model; the published numbers are of a 100 M single-head GAU model. The "
    "last 32 bytes of each window are scored, only the context before them grows.",
)
