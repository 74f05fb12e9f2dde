"""A wider attention recalls more key-value pairs."""

from dataclasses import replace

from paribus.attention.grouped_query import GroupedQuery
from paribus.data.synthetic.recall import MultiQueryRecall
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.rotary import Rotary
from paribus.training.recipe import Recipe

LENGTH = 64
TASK = MultiQueryRecall(vocab_size=256, pairs=8)

wide = DecoderLM.Config(
    n_layers=2,
    d_model=64,
    mixer=GroupedQuery.Config(n_heads=1, position=Rotary()),
    feed_forward=FeedForward.Config(d_ff=128, activation=SquaredReLU()),
    vocab_size=TASK.vocab_size,
)
narrow = replace(wide, d_model=32)

claim = Claim(
    title="Recall and width",
    statement="On multi-query associative recall a decoder of width 64 answers more queries than one of width 32 after "
    "the same number of tokens.",
    source="Arora et al., Zoology: Measuring and Improving Recall in Efficient Language Models, arXiv:2312.04927",
    arms=[Arm("narrow", narrow), Arm("wide", wide)],
    task=Trained(
        data=TASK,
        train_length=LENGTH,
        metric=LastTokens(last=LENGTH, at=(LENGTH,), windows=256),
        recipe=Recipe(batch=64),
        match="none",  # the width is what is compared
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=6 * 64 * LENGTH), seeds=range(2), learning_rates=(4e-3,)),
        "laptop": Profile(
            budget=Budget(tokens=600 * 64 * LENGTH),
            seeds=range(8),
            learning_rates=(2e-3, 4e-3, 8e-3),
            tuning_fraction=1 / 3,
        ),
    },
    primary="wider-recalls",
    predicts=[
        Greater(
            "wider-recalls",
            "wide",
            than="narrow",
            metric="accuracy@64",
            margin=0.02,
            provenance="blind; published for attention of width 64 and more, which solves the task at every size",
            dated="2026-11-22",
        ),
    ],
    notes="The arms differ in parameters on purpose: width is the factor. At 2.5 million tokens both are still "
    "learning which values stand in the list: naming any one of 8 gives 12.5 %. A verdict here is of early learning.",
)
