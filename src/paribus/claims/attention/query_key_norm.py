"""The usual QK norm, with learned gains, beside the norm of the keys alone."""

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.scales.key_norm import KeyNorm
from paribus.attention.scales.query_key_norm import QueryKeyNorm
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

TRAINED, LONGEST = 64, 512

plain = DecoderLM.Config(
    n_layers=3,
    d_model=128,
    mixer=GroupedQuery.Config(n_heads=4, position=Rotary()),
    feed_forward=FeedForward.Config(d_ff=512, activation=SquaredReLU()),
)

claim = Claim(
    title="QK norm against key norm",
    statement="A decoder trained at length 64 with normalised keys reads 8x longer text better than one whose queries "
    "and keys are both normalised and given learned gains, as is usual in large models.",
    source="苏剑林, Transformer升级之路：15、Key归一化助力长度外推, 2023-11-20, kexue.fm/archives/9859",
    arms=[
        Arm("plain", plain),
        Arm("key-norm", plain.with_mixer(scale=KeyNorm())),
        Arm("qk-norm", plain.with_mixer(scale=QueryKeyNorm.Config())),
    ],
    task=Trained(
        data=Text(corpus=PythonStdlib()),
        train_length=TRAINED,
        metric=LastTokens(last=32, at=(64, 128, 256, LONGEST), windows=128),
        recipe=Recipe(dtype="bfloat16"),
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 32 * TRAINED), seeds=range(2), learning_rates=(2e-3,)),
        "hour": Profile(
            budget=Budget(tokens=1200 * 32 * TRAINED),
            seeds=range(8),
            learning_rates=(1e-3, 2e-3, 4e-3),
            tuning_seeds=(1001,),
            tuning_fraction=1 / 3,
            expected_sd={"key-norm-longer": 0.03, "qk-norm-longer": 0.03, "in-length": 0.003},
            note="expected sd: guesses, from the spread of plain and of key norm in the hour run of key-norm",
        ),
    },
    primary="key-norm-longer",
    predicts=[
        Greater(
            "key-norm-longer",
            "key-norm",
            than="qk-norm",
            metric="accuracy@512",
            by=0.01,
            margin=0.01,
            provenance="the post only doubts the gain (it gives the key's length back), without a number",
            dated="2026-11-22",
        ),
        # Cosine attention without gains read long texts as well as key norm in the hour run of key-norm.
        Greater(
            "qk-norm-longer",
            "qk-norm",
            than="plain",
            metric="accuracy@512",
            by=0.01,
            margin=0.01,
            provenance="blind: a guess, against the post, that gains shared by all keys favour no key by its length",
            dated="2026-11-22",
        ),
        NotWorse(
            "in-length",
            "qk-norm",
            than="plain",
            metric="accuracy@64",
            margin=0.005,
            provenance="blind: QK norm is in wide use and does no harm there",
            dated="2026-11-22",
        ),
    ],
    notes="The budget, rates and seeds are those of the claim key-norm. Gains are vectors over the coordinates of a "
    "head, shared by the heads, and act before rotation.",
)
