"""Train with stretched distances and the plain model reads long text: the cost moves from reading to training."""

from paribus.attention.grouped_query import GroupedQuery
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater, NotWorse
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.maps.leaky_rerope import LeakyReRoPE
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
# Read 8 times as far: 1/k = 2 * 8 beyond a quarter of the trained length, so training meets distances up to 768.
stretched = plain.with_mixer(position=Rotary(map=LeakyReRoPE(window=16, factor=1 / 16)))

claim = Claim(
    title="Train stretched, read plainly",
    statement="A decoder trained at length 64 with inverse Leaky ReRoPE reads 8x longer text with plain RoPE "
    "better than "
    "one trained with plain RoPE does, at a small cost at the trained length.",
    source="苏剑林, Transformer升级之路：13、逆用Leaky ReRoPE, 2023-08-14, kexue.fm/archives/9728",
    arms=[
        Arm("plain", plain),
        Arm("stretched", stretched),
        Arm("inverse", plain, reads="stretched"),
        Arm("rerope", plain.with_mixer(position=Rotary(map=ReRoPE(window=32))), reads="plain"),
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
    primary="longer",
    predicts=[
        Greater(
            "longer",
            "inverse",
            than="plain",
            metric="accuracy@512",
            by=0.05,
            margin=0.01,
            provenance="published (+0.252 with text that does not repeat, 100 M parameters); blind at this size",
            dated="2026-11-22",
        ),
        NotWorse(
            "in-length",
            "inverse",
            than="plain",
            metric="accuracy@64",
            margin=0.02,
            provenance="published (-0.0003; the map differs between training and reading); blind at this size",
            dated="2026-11-22",
        ),
        NotWorse(
            "against-rerope",
            "inverse",
            than="rerope",
            metric="accuracy@512",
            margin=0.05,
            provenance="published (-0.005 against ReRoPE with text that does not repeat); blind at this size",
            dated="2026-11-22",
        ),
    ],
    notes="`stretched` is the trained model read as it was trained, `inverse` the same weights read with plain "
    "RoPE, which "
    "is the method. The source's best arm also multiplies the base by the expansion; this one does not.",
)
