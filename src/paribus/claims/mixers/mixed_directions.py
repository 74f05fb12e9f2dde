"""In a masked model, heads that look one way each are as good as heads that look both ways."""

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.anticausal import Anticausal
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.combine import PerHead
from paribus.data.masked import Masked
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
DATA = Masked(of=Text(corpus=PythonStdlib()))

both = DecoderLM.Config(
    n_layers=2,
    d_model=128,
    mixer=GroupedQuery.Config(n_heads=4, position=Rotary(), mask=Bidirectional()),
    feed_forward=FeedForward.Config(d_ff=512, activation=SquaredReLU()),
    vocab_size=DATA.vocab_size,
)
TASK = Trained(
    data=DATA,
    train_length=LENGTH,
    metric=LastTokens(last=LENGTH, at=(LENGTH,), windows=1024),
    recipe=Recipe(dtype="bfloat16"),
)

claim = Claim(
    title="Half the heads forward, half backward",
    statement="A masked model, half of whose heads look back and half ahead, has at most 1 % more loss than one whose "
    "heads look both ways.",
    source="苏剑林, 为什么现在的LLM都是Decoder-only的架构？, 2023-03-17, kexue.fm/archives/9529",
    arms=[
        Arm("both-ways", both),
        Arm("mixed", both.with_mixer(mask=PerHead(masks=(Causal(), Anticausal()), n_heads=4))),
        Arm("back-only", both.with_mixer(mask=Causal())),
    ],
    task=TASK,
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 32 * LENGTH), seeds=range(2), learning_rates=(4e-3,)),
        "hour": Profile(
            budget=Budget(tokens=STEPS * 32 * LENGTH),
            seeds=range(8),
            learning_rates=(2e-3, 4e-3, 8e-3),
            tuning_fraction=1 / 3,
            expected_sd={"mixed-holds": 0.015, "mixed-wins": 0.015, "both-sides-matter": 0.02},
            note="expected sd: guesses before the first run",
        ),
    },
    primary="mixed-holds",
    predicts=[
        NotWorse(
            "mixed-holds",
            "mixed",
            than="both-ways",
            metric="loss@128",
            margin=0.015,
            provenance="published (mixed slightly better, a training curve at 100 M parameters); blind at this size",
            dated="2026-11-22",
        ),
        Greater(
            "mixed-wins",
            "mixed",
            than="both-ways",
            metric="loss@128",
            margin=0.015,
            provenance="published (slightly better, without a number); blind, and expected near the seeds' noise",
            dated="2026-11-22",
        ),
        Greater(
            "both-sides-matter",
            "both-ways",
            than="back-only",
            metric="loss@128",
            by=0.1,
            margin=0.015,
            provenance="blind: the control; a hole in text is easier to fill from both sides",
            dated="2026-11-22",
        ),
    ],
    notes="15 % of the bytes are hidden and asked for. All arms have RoPE, so that order is known in every arm, and "
    "the same parameters by construction.",
)
