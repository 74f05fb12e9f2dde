"""A causal decoder without position codes works, but worse than with RoPE."""

from paribus.attention.grouped_query import GroupedQuery
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.text.corpora.python_stdlib import PythonStdlib

TRAINED = 128

rotary = DecoderLM.Config(
    n_layers=3,
    d_model=128,
    mixer=GroupedQuery.Config(n_heads=4, position=Rotary()),
    feed_forward=FeedForward.Config(d_ff=512, activation=SquaredReLU()),
)

claim = Claim(
    title="Do decoders need position codes?",
    statement="At equal parameters and tokens a causal decoder with RoPE has a lower loss than one without any "
    "position code.",
    source="苏剑林, Decoder-only的LLM为什么需要位置编码？, 2024-09-01, kexue.fm/archives/10347",
    arms=[Arm("none", rotary.with_mixer(position=NoPosition())), Arm("rope", rotary)],
    task=Trained(
        data=Text(corpus=PythonStdlib()),
        train_length=TRAINED,
        metric=LastTokens(last=64, at=(128, 256), windows=128),
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 32 * TRAINED), seeds=range(2), learning_rates=(4e-3,)),
        "laptop": Profile(
            budget=Budget(tokens=150 * 32 * TRAINED),
            seeds=range(8),
            learning_rates=(2e-3, 4e-3, 8e-3),
            tuning_fraction=1 / 3,
        ),
        "hour": Profile(
            budget=Budget(tokens=750 * 32 * TRAINED),
            seeds=range(8),
            learning_rates=(1e-3, 2e-3, 4e-3),
            tuning_fraction=1 / 3,
        ),
    },
    primary="lower-loss",
    predicts=[
        Greater(
            "lower-loss",
            "rope",
            than="none",
            metric="loss@128",
            by=0.02,  # about 1 %, the margin of the sheet
            margin=0.01,
            provenance="blind; the source argues without an experiment",
            dated="2026-11-22",
        ),
        Greater(
            "longer",
            "none",
            than="rope",
            metric="loss@256",
            margin=0.02,
            provenance="blind: no unseen rotations, but attention spreads",
            dated="2026-11-22",
        ),
    ],
    notes="Order still shows through the causal mask, and no start-of-text token is given.",
)
