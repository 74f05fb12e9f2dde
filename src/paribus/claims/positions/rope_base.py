"""A base below the bound of the trained length costs loss; above it a wide range of bases is alike."""

from paribus.attention.grouped_query import GroupedQuery
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Equivalent, Greater
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.rotary import Rotary
from paribus.text.corpora.python_stdlib import PythonStdlib
from paribus.training.recipe import Recipe

TRAINED = 256


def with_base(base: float) -> DecoderLM.Config:
    return DecoderLM.Config(
        n_layers=2,
        d_model=64,
        mixer=GroupedQuery.Config(n_heads=2, position=Rotary(base=base)),
        feed_forward=FeedForward.Config(d_ff=256, activation=SquaredReLU()),
    )


# The bound of theory.rope_base for heads of 32: 315 at length 64, 2168 at length 256; from 7391 on no base fails there.
claim = Claim(
    title="How large a base?",
    statement="Trained at length 256 with heads of width 32, a decoder with RoPE's base of 10, far below the "
    "bound of 2.2e3, "
    "has a higher loss than one with 1e4, and 3e5 is as good as 1e4.",
    source="苏剑林, Transformer升级之路：18、RoPE的底数选择原则, 2024-05-29, kexue.fm/archives/10122; "
    "Men et al., arXiv:2405.14591",
    arms=[
        Arm("base-1e4", with_base(1e4)),
        Arm("base-10", with_base(10.0)),
        Arm("base-100", with_base(100.0)),
        Arm("base-3e5", with_base(3e5)),
    ],
    task=Trained(
        data=Text(corpus=PythonStdlib()),
        train_length=TRAINED,
        metric=LastTokens(last=16, at=(16, 64, TRAINED), windows=512),
        recipe=Recipe(batch=16),
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 16 * TRAINED), seeds=range(2), learning_rates=(4e-3,)),
        "hour": Profile(
            budget=Budget(tokens=600 * 16 * TRAINED),
            seeds=range(8),
            learning_rates=(4e-3,),
            note="one rate for all arms, as the bases only change frequencies",
        ),
    },
    primary="below-the-bound",
    predicts=[
        Greater(
            "below-the-bound",
            "base-1e4",
            than="base-10",
            metric="loss@256",
            margin=0.01,
            provenance="blind; the source derives it for random queries and trains nothing",
            dated="2026-11-22",
        ),
        Greater(
            "a-hundred",
            "base-1e4",
            than="base-100",
            metric="loss@256",
            margin=0.01,
            provenance="blind; less far below the bound",
            dated="2026-11-22",
        ),
        Equivalent(
            "above-the-bound",
            "base-3e5",
            than="base-1e4",
            metric="loss@256",
            margin=0.02,
            provenance="blind; the source expects a wide range of bases to be alike",
            dated="2026-11-22",
        ),
        Equivalent(
            "short-context",
            "base-100",
            than="base-1e4",
            metric="loss@16",
            margin=0.02,
            provenance="blind; 100 is nearer to the bound of short distances (315 at 64)",
            dated="2026-11-22",
        ),
    ],
    notes="The bound is an average over random queries; trained ones are not isotropic. A shorter context needs "
    "a smaller "
    "base: the last prediction reads the same models with 16 tokens.",
)
