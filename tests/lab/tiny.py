"""Copying with positions and without: the smallest claim that has everything, seconds in all."""

from paribus.attention.grouped_query import GroupedQuery
from paribus.data.synthetic.copy_task import Copy
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater
from paribus.layers.activations.squared_relu import SquaredReLU
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.training.recipe import Recipe

STEP = 2 * 12  # tokens

model = DecoderLM.Config(
    n_layers=1,
    d_model=16,
    vocab_size=8,
    mixer=GroupedQuery.Config(n_heads=2, position=Rotary()),
    feed_forward=FeedForward.Config(d_ff=32, activation=SquaredReLU()),
)

claim = Claim(
    statement="Positions help to copy.",
    source="a test",
    arms=[Arm("rotary", model), Arm("none", model.with_mixer(position=NoPosition()))],
    task=Trained(
        data=Copy(vocab_size=8),
        train_length=12,
        metric=LastTokens(last=6, at=(12,), windows=16),
        recipe=Recipe(batch=2),
    ),
    profiles={
        "smoke": Profile(budget=Budget(tokens=5 * STEP), seeds=range(2), learning_rates=(1e-2,)),
        "laptop": Profile(budget=Budget(tokens=10 * STEP), seeds=range(2), learning_rates=(1e-2,)),
        "tuned": Profile(
            budget=Budget(tokens=10 * STEP), seeds=range(2), learning_rates=(1e-2, 2e-2), tuning_fraction=0.5
        ),
        "long": Profile(budget=Budget(tokens=60 * STEP), seeds=range(2), learning_rates=(1e-2,)),
    },
    primary="helps",
    predicts=[
        Greater("helps", "rotary", than="none", metric="loss@12", margin=0.1, provenance="blind", dated="2026-11-22")
    ],
)
