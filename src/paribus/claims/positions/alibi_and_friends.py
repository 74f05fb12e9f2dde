"""Biases by distance read longer text without any change, where rotations do not."""

from paribus.attention.grouped_query import GroupedQuery
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater, NotWorse
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.alibi import ALiBi
from paribus.positions.kerple import Kerple
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.positions.sandwich import Sandwich
from paribus.positions.t5_bias import T5Bias
from paribus.positions.xpos import XPos
from paribus.text.corpora.python_stdlib import PythonStdlib
from paribus.training.recipe import Recipe

TRAINED, HEADS = 64, 4

rope = DecoderLM.Config(
    n_layers=2,
    d_model=64,
    mixer=GroupedQuery.Config(n_heads=HEADS, position=Rotary()),
    feed_forward=FeedForward.Config(d_ff=256, activation=SquaredReLU()),
)

claim = Claim(
    title="ALiBi and friends",
    statement="Trained at length 64 and read at 512 without any change, a decoder with ALiBi or KERPLE is better "
    "than one "
    "with RoPE, and no worse at the trained length.",
    source="Press et al., Train Short, Test Long, arXiv:2108.12409; against it 苏剑林, kexue.fm/archives/9948",
    arms=[
        Arm("rope", rope),
        Arm("alibi", rope.with_mixer(position=ALiBi())),
        Arm("kerple", rope.with_mixer(position=Kerple.Config(n_heads=HEADS))),
        Arm("kerple-power", rope.with_mixer(position=Kerple.Config(n_heads=HEADS, kind="power"))),
        Arm("sandwich", rope.with_mixer(position=Sandwich())),
        Arm("t5", rope.with_mixer(position=T5Bias.Config(n_heads=HEADS))),
        Arm("xpos", rope.with_mixer(position=XPos())),
        Arm("none", rope.with_mixer(position=NoPosition())),
        Arm("rerope", rope.with_mixer(position=Rotary(map=ReRoPE(window=32))), reads="rope"),
    ],
    task=Trained(
        data=Text(corpus=PythonStdlib()),
        train_length=TRAINED,
        metric=LastTokens(last=32, at=(64, 128, 256, 512), windows=128),
        recipe=Recipe(dtype="float32"),  # as fast as bfloat16 at this width
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 32 * TRAINED), seeds=range(2), learning_rates=(2e-3,)),
        "hour": Profile(
            budget=Budget(tokens=500 * 32 * TRAINED),
            seeds=range(10),
            learning_rates=(2e-3, 4e-3, 8e-3),
            tuning_fraction=1 / 3,
        ),
    },
    primary="alibi-longer",
    predicts=[
        Greater(
            "alibi-longer",
            "alibi",
            than="rope",
            metric="accuracy@512",
            by=0.05,
            margin=0.01,
            provenance="published for other models (perplexity at twice the length as good as trained there); "
            "one source found none with GAU; blind here",
            dated="2026-11-22",
        ),
        Greater(
            "kerple-longer",
            "kerple",
            than="rope",
            metric="accuracy@512",
            by=0.05,
            margin=0.01,
            provenance="published for other models; one source found none with GAU; blind here",
            dated="2026-11-22",
        ),
        Greater(
            "sandwich-longer",
            "sandwich",
            than="rope",
            metric="accuracy@512",
            by=0.05,
            margin=0.01,
            provenance="published for other models; blind here",
            dated="2026-11-22",
        ),
        NotWorse(
            "in-length",
            "alibi",
            than="rope",
            metric="accuracy@64",
            margin=0.01,
            provenance="blind; published perplexities of ALiBi and sinusoidal positions are equal",
            dated="2026-11-22",
        ),
        NotWorse(
            "against-rerope",
            "alibi",
            than="rerope",
            metric="accuracy@512",
            margin=0.02,
            provenance="blind: a byte model needs mostly near context",
            dated="2026-11-22",
        ),
        Greater(
            "xpos-longer",
            "xpos",
            than="rope",
            metric="accuracy@512",
            margin=0.01,
            provenance="published for other models; its decay at B = 512 is weak over 64 to 512 tokens; blind here",
            dated="2026-11-22",
        ),
    ],
    notes="Ten seeds, since differences between biases are small. A method that only forgets far context looks "
    "good in this "
    "measure: it is a test of not breaking, not of using far context. The arms with learned biases have a few "
    "numbers more.",
)
