"""At equal cache bytes and equal parameters a latent is not worse than grouped heads."""

from dataclasses import replace

from paribus.attention.latent import Latent
from paribus.claims.mixers.kv_heads import LENGTH, STEPS, many
from paribus.data.text_source import Text
from paribus.evaluation.last_tokens import LastTokens
from paribus.lab.claim import Arm, Budget, Claim, Profile, Trained
from paribus.lab.predictions import Greater, NotWorse
from paribus.positions.rotary import Rotary
from paribus.text.corpora.python_stdlib import PythonStdlib
from paribus.training.recipe import Recipe

# 2 key and value heads of 16 numbers: 64 numbers a token and layer. A latent of 48 and a rotary key of 16: as many.
latent = replace(many, mixer=Latent.Config(n_heads=8, latent=48, rope_dim=16, position=Rotary()))
bare = replace(many, mixer=Latent.Config(n_heads=8, latent=64, rope_dim=0))

claim = Claim(
    title="A latent instead of groups",
    statement="At equal parameters, multi-head latent attention has at most 1 % more loss than grouped-query attention "
    "with a cache of as many bytes.",
    source="DeepSeek-AI, DeepSeek-V2, arXiv:2405.04434, tables 8 and 9; 苏剑林, 缓存与效果的极限拉扯：从MHA、MQA、"
    "GQA到MLA, 2024-05-13, kexue.fm/archives/10091",
    arms=[
        Arm("mha", many),
        Arm("gqa", many.with_mixer(n_kv_heads=2)),
        Arm("mla", latent),
        Arm("mla-without-rope", bare),
    ],
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
            expected_sd={"equal-cache": 0.01, "against-all-heads": 0.01, "rope-part": 0.01},
            note="expected sd: guesses before the first run",
        ),
    },
    primary="equal-cache",
    predicts=[
        NotWorse(
            "equal-cache",
            "mla",
            than="gqa",
            metric="loss@128",
            margin=0.016,  # 1 % of about 1.6 nats
            provenance="published (MLA ahead of GQA at 7 B and of MHA at 16 B and 250 B, with fewer cached numbers); "
            "blind at this size",
            dated="2026-11-22",
        ),
        NotWorse(
            "against-all-heads",
            "mla",
            than="mha",
            metric="loss@128",
            margin=0.016,
            provenance="published (MLA ahead of MHA); blind at this size, with a quarter of its cache",
            dated="2026-11-22",
        ),
        Greater(
            "rope-part",
            "mla",
            than="mla-without-rope",
            metric="loss@128",
            by=0.01,
            margin=0.016,
            provenance="the source needs the part for positions, without a number; blind",
            dated="2026-11-22",
        ),
    ],
    notes="Cached numbers a token and layer: mha 256, the others 64. All arms have the parameters of mha; a latent's "
    "matrices are wider than those of grouped heads, so its feed-forward network is narrower. The rotary part of keys "
    "is in addition to 16 numbers of content, so mla scores with 32 numbers a head. Rates are those of mha and gqa in "
    "kv-heads, whose cells are the same.",
)
