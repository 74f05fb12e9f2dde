"""Scores scaled by ln n help every way to extend RoPE, most when trained in."""

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
from paribus.positions.scaling.ntk_mixed import NTKMixed
from paribus.text.corpora.python_stdlib import PythonStdlib
from paribus.training.recipe import Recipe

TRAINED = 64

plain = DecoderLM.Config(
    n_layers=3,
    d_model=128,
    mixer=GroupedQuery.Config(n_heads=4, position=Rotary()),
    feed_forward=FeedForward.Config(d_ff=512, activation=SquaredReLU()),
)
logarithmic = plain.with_mixer(scale=LogLength(base=TRAINED))
POST_HOC = LogLength(base=TRAINED, at_least_one=True)
MIXED, CLIPPED = Rotary(scaling=NTKMixed(factor=8)), Rotary(map=ReRoPE(window=32))

claim = Claim(
    title="ln n with RoPE",
    statement="At 8x the trained length, NTK-mixed RoPE reads better when scores were trained with the factor ln "
    "n, and "
    "also when max(1, ln n / ln 64) is put in afterwards.",
    source="苏剑林, Transformer升级之路：11、将β进制位置进行到底, 2023-07-31, kexue.fm/archives/9706",
    arms=[
        Arm("plain", plain),
        Arm("log", logarithmic),
        Arm("mixed", plain.with_mixer(position=MIXED), reads="plain"),
        Arm("mixed-after", plain.with_mixer(position=MIXED, scale=POST_HOC), reads="plain"),
        Arm("log-mixed", logarithmic.with_mixer(position=MIXED), reads="log"),
        Arm("rerope", plain.with_mixer(position=CLIPPED), reads="plain"),
        Arm("rerope-after", plain.with_mixer(position=CLIPPED, scale=POST_HOC), reads="plain"),
        Arm("log-rerope", logarithmic.with_mixer(position=CLIPPED), reads="log"),
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
    primary="trained-in",
    predicts=[
        Greater(
            "trained-in",
            "log-mixed",
            than="mixed",
            metric="accuracy@512",
            margin=0.01,
            provenance="published (+0.053 with text that does not repeat, 100 M parameters); blind at this size",
            dated="2026-11-22",
        ),
        Greater(
            "afterwards",
            "mixed-after",
            than="mixed",
            metric="accuracy@512",
            margin=0.01,
            provenance="published (+0.023 with text that does not repeat, 100 M parameters); blind at this size",
            dated="2026-11-22",
        ),
        NotWorse(
            "with-rerope",
            "log-rerope",
            than="rerope",
            metric="accuracy@512",
            margin=0.005,
            provenance="published (+0.006); another claim's kept verdict at 4x is +0.0015, undecided, after 250 steps",
            dated="2026-11-22",
        ),
        NotWorse(
            "afterwards-with-rerope",
            "rerope-after",
            than="rerope",
            metric="accuracy@512",
            margin=0.005,
            provenance="published (+0.004); blind at this size",
            dated="2026-11-22",
        ),
        NotWorse(
            "in-length",
            "log",
            than="plain",
            metric="accuracy@64",
            margin=0.005,
            provenance="published (-0.0001); another claim's kept verdict is -0.0033, undecided, after 250 steps",
            dated="2026-11-22",
        ),
    ],
    notes="n is the row's own number of visible keys; base 64 leaves the last row of a training window unchanged.",
)
