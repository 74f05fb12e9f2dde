"""Do positions help to copy, and from how much training on?"""

from paribus.attention.grouped_query import GroupedQuery
from paribus.data.synthetic.copy_task import Copy
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater
from paribus.lab.trend import Trend
from paribus.layers.feed_forward.plain import FeedForward
from paribus.models.decoder import DecoderLM
from paribus.positions.no_position import NoPosition
from paribus.training.recipe import Recipe

model = DecoderLM.Config(
    n_layers=1,
    d_model=16,
    vocab_size=8,
    mixer=GroupedQuery.Config(n_heads=2),
    feed_forward=FeedForward.Config(d_ff=32),
)

claim = Claim(
    statement="Positions help to copy.",
    source="an example",
    arms=[Arm("rotary", model), Arm("none", model.with_mixer(position=NoPosition()))],
    task=Trained(
        data=Copy(vocab_size=8),
        train_length=12,
        metric=LastTokens(last=6, at=(12,), windows=16),
        recipe=Recipe(batch=2),
    ),
    profiles={
        "laptop": Profile(
            budget=Budget(tokens=600 * 24), seeds=range(4), learning_rates=(1e-2,), trend=Trend(shares=(0.25, 0.5))
        ),
    },
    primary="helps",
    predicts=[
        Greater("helps", "rotary", than="none", metric="loss@12", margin=0.1, provenance="blind", dated="2026-11-22"),
    ],
)
