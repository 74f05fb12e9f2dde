"""SmolLM2-135M, trained to 8192 tokens, and half a text that stands 15360 positions away: what each method is worth."""

from typing import Any

from paribus.context_extension.method import Change
from paribus.core.config import Part
from paribus.lab.claim import Arm, Claim, Measured, Profile
from paribus.lab.predictions import Greater, NotWorse
from paribus.positions.maps.base import PositionMap
from paribus.positions.maps.identity import Identity
from paribus.positions.maps.leaky_rerope import LeakyReRoPE
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.scaling.base import Scaling
from paribus.positions.scaling.ntk_aware import NTKAware
from paribus.positions.scaling.unscaled import Unscaled
from paribus.positions.scaling.yarn import YaRN

HALF, NEAR, FAR = 640, 640, 15360
TRAINED = 8192


class Read(Part):
    """How an arm reads the same weights."""

    source = ""
    map: PositionMap = Identity()
    scaling: Scaling = Unscaled()


def measure(reading: Read, replicate: int) -> dict[str, float]:
    """Loss of the second half of a text whose first half stands right before it, or 15360 positions before it.

    replicate r is the r-th longest topic of the interpreter's documentation.
    """
    from paribus.context_extension.extend import extend
    from paribus.evaluation.distance_probe import distance_probe

    model, texts = _opened()
    changes: list[Change] = [one for one in (reading.map, reading.scaling) if not isinstance(one, Identity | Unscaled)]
    read = extend(model, *changes) if changes else model
    probe = distance_probe(read, texts[replicate], (NEAR, FAR), HALF)
    return {"near": probe.at[NEAR], "far": probe.at[FAR]}


_OPENED: list[Any] = []  # the model and the texts, read once in a process


def _opened() -> Any:
    if not _OPENED:
        import torch

        from paribus.models.checkpoints.open import load_checkpoint
        from paribus.text.corpora.python_docs import PythonDocs
        from paribus.tokenizer.byte_level import ByteLevelBPE

        model, checkpoint = load_checkpoint("smollm2")
        assert checkpoint.tokenizer is not None
        codec = ByteLevelBPE(checkpoint.tokenizer)
        documents = sorted((one.data for one in PythonDocs().documents()), key=len, reverse=True)
        texts = [torch.from_numpy(codec.encode(data[: 16 * HALF])) for data in documents[:16]]
        _OPENED.extend([model, [text for text in texts if len(text) >= 2 * HALF]])
    return _OPENED


ONE_TEXT = "informed by two texts that are not among these"
claim = Claim(
    title="A checkpoint beyond its trained length",
    statement="SmolLM2-135M, trained to 8192 tokens, uses a half text 15360 positions away with ReRoPE, without any "
    "training and at no cost near by, while plain RoPE breaks.",
    source="苏剑林, Transformer升级之路：12、无限外推的ReRoPE？, 2023-08-07, kexue.fm/archives/9708; "
    "Peng et al., YaRN, arXiv:2309.00071",
    arms=[
        Arm("plain", Read()),
        Arm("ntk-aware", Read(scaling=NTKAware(factor=4.0))),
        Arm("yarn", Read(scaling=YaRN(factor=2.0, train_length=TRAINED))),
        Arm("rerope", Read(map=ReRoPE(window=2048))),
        Arm("leaky", Read(map=LeakyReRoPE(window=2048, factor=8.0))),
    ],
    task=Measured(
        measure=measure,
        unit="text",
        units={"near": "nats per token", "far": "nats per token"},
        lower_is_better=("near", "far"),
    ),
    profiles={
        "smoke": Profile(seeds=range(1)),
        "laptop": Profile(seeds=range(1, 9), note="text 0 was seen before the predictions"),
    },
    primary="rerope-far",
    predicts=[
        Greater(
            "rerope-far",
            "rerope",
            than="plain",
            metric="far",
            by=1.0,
            provenance=f"{ONE_TEXT} (2.63 against 6.41 nats; 2.24 against 6.90 at 15744)",
            dated="2026-11-22",
        ),
        NotWorse(
            "rerope-near",
            "rerope",
            than="plain",
            metric="near",
            margin=0.005,
            provenance="by construction: all distances are inside its window",
            dated="2026-11-22",
        ),
        Greater(
            "rerope-over-ntk",
            "rerope",
            than="ntk-aware",
            metric="far",
            provenance="informed by one text (2.63 against 2.76 nats)",
            dated="2026-11-22",
        ),
        Greater(
            "yarn-far",
            "yarn",
            than="plain",
            metric="far",
            by=1.0,
            provenance="informed by two long texts (2.31 against 6.76 nats at 16384 tokens)",
            dated="2026-11-22",
        ),
        NotWorse(
            "yarn-near",
            "yarn",
            than="plain",
            metric="near",
            margin=0.05,
            provenance="informed by two long texts (+0.02 nats at 2048 tokens)",
            dated="2026-11-22",
        ),
        Greater(
            "leaky-over-rerope",
            "leaky",
            than="rerope",
            metric="far",
            provenance="blind: it still orders far tokens, within distances that training met",
            dated="2026-11-22",
        ),
    ],
    notes="A jump in positions is no long text: it shows what distances do, and nothing of how many keys compete. The "
    "weights are the 4-bit ones of the GGUF file, as float32. Needs `paribus[checkpoints]`.",
)
