"""Sharing keys and values among heads costs little loss at equal parameters."""

from paribus.attention.grouped_query import GroupedQuery
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

LENGTH, STEPS = 128, 500

many = DecoderLM.Config(
    n_layers=2,
    d_model=128,
    mixer=GroupedQuery.Config(n_heads=8, position=Rotary()),
    feed_forward=FeedForward.Config(d_ff=512, activation=SquaredReLU()),
)

claim = Claim(
    title="How many key heads?",
    statement="At equal parameters a decoder whose 8 query heads share 2 key and value heads has at most 1 % more loss "
    "than one with 8 of them.",
    source="Ainslie et al., GQA, arXiv:2305.13245; 苏剑林, 缓存与效果的极限拉扯：从MHA、MQA、GQA到MLA, 2024-05-13, "
    "kexue.fm/archives/10091",
    arms=[Arm("mha", many), Arm("gqa", many.with_mixer(n_kv_heads=2)), Arm("mqa", many.with_mixer(n_kv_heads=1))],
    task=Trained(
        data=Text(corpus=PythonStdlib()),
        train_length=LENGTH,
        metric=LastTokens(last=64, at=(LENGTH,), windows=512),
        recipe=Recipe(dtype="bfloat16"),
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 32 * LENGTH), seeds=range(2), learning_rates=(4e-3,)),
        "hour": Profile(
            budget=Budget(tokens=STEPS * 32 * LENGTH),
            seeds=range(8),
            learning_rates=(2e-3, 4e-3, 8e-3),
            tuning_fraction=1 / 3,
            expected_sd={"groups-cost-little": 0.01, "one-costs-more": 0.01, "groups-before-one": 0.01},
            note="expected sd: guesses before the first run",
        ),
    },
    primary="groups-cost-little",
    predicts=[
        NotWorse(
            "groups-cost-little",
            "gqa",
            than="mha",
            metric="loss@128",
            margin=0.016,  # 1 % of about 1.6 nats
            provenance="published (GQA-8 close to MHA, after conversion of a 11 B model); blind at this size and for "
            "training from scratch",
            dated="2026-11-22",
        ),
        Greater(
            "one-costs-more",
            "mha",
            than="mqa",
            metric="loss@128",
            margin=0.016,
            provenance="published (MQA loses quality at 11 B); blind here, where the parameters that MQA saves go into "
            "the feed-forward network",
            dated="2026-11-22",
        ),
        Greater(
            "groups-before-one",
            "gqa",
            than="mqa",
            metric="loss@128",
            margin=0.016,
            provenance="published (GQA between MHA and MQA); blind at this size",
            dated="2026-11-22",
        ),
    ],
    notes="What the shared heads save goes into the feed-forward width. Caches: 256, 64 and 32 numbers a token and "
    "layer.",
)
