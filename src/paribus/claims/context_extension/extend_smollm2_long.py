"""SmolLM2-135M, trained to 8192 tokens, before long natural texts: the same last tokens under 8192 and 16384 tokens."""

from typing import Any

from paribus.context_extension.method import Change
from paribus.core.config import Part
from paribus.lab.claim import Arm, Claim, Measured, Profile
from paribus.lab.predictions import Greater, NotWorse
from paribus.positions.maps.base import PositionMap
from paribus.positions.maps.identity import Identity
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.scaling.base import Scaling
from paribus.positions.scaling.ntk_mixed import NTKMixed
from paribus.positions.scaling.unscaled import Unscaled
from paribus.positions.scaling.yarn import YaRN

LAST = 1024  # tokens that are scored, the same under every context
TRAINED, LONG = 8192, 16384  # contexts, the scored tokens counted in
# The number of a stretch of the documentation, or of a source; no two are copies of one another.
TEXTS = (
    ("python-docs", 0),  # for smoke alone
    ("python-docs", 2),
    ("python-docs", 3),
    ("argparse.py", 0),
    ("difflib.py", 0),
    ("doctest.py", 0),
    ("pickletools.py", 0),
    ("subprocess.py", 0),
    ("turtle.py", 0),
)


class Read(Part):
    """How an arm reads the same weights. keep: only so many of the last tokens, whatever came before them."""

    source = ""
    map: PositionMap = Identity()
    scaling: Scaling = Unscaled()
    keep: int = LONG


def measure(reading: Read, replicate: int) -> dict[str, float]:
    """Loss of a text's last tokens when 8192 and when 16384 tokens of it are read; text 0 is read at an eighth."""
    from paribus.context_extension.extend import extend
    from paribus.evaluation.growing_context import growing_context

    model, texts = _opened()
    smaller = 8 if replicate == 0 else 1
    text = texts(replicate, LONG // smaller + 1)
    changes: list[Change] = [one for one in (reading.map, reading.scaling) if not isinstance(one, Identity | Unscaled)]
    read = extend(model, *changes) if changes else model
    contexts = [min(context, reading.keep) // smaller for context in (TRAINED, LONG)]
    loss = growing_context(read, text, sorted(set(contexts)), LAST // smaller)
    return {"loss@8192": loss[contexts[0]], "loss@16384": loss[contexts[1]]}


_OPENED: list[Any] = []  # the model and a way to the texts, made once in a process


def _opened() -> Any:
    if not _OPENED:
        import torch

        from paribus.models.checkpoints.open import load_checkpoint
        from paribus.text.long_texts import long_text
        from paribus.tokenizer.byte_level import ByteLevelBPE

        model, checkpoint = load_checkpoint("smollm2")
        assert checkpoint.tokenizer is not None
        codec = ByteLevelBPE(checkpoint.tokenizer)

        def text(replicate: int, length: int) -> Any:
            name, stretch = TEXTS[replicate]
            tokens = codec.encode(long_text(name))[stretch * (LONG + 1) :]
            return torch.from_numpy(tokens[:length].astype("int64"))

        _OPENED.extend([model, text])
    return _OPENED


TWO_TEXTS = "informed by two other stretches of the documentation"
claim = Claim(
    title="A checkpoint before long natural texts",
    statement="SmolLM2-135M, trained to 8192 tokens, reads natural texts of 16384 tokens with YaRN by 2, without any "
    "training, where plain RoPE breaks, and almost as well as if the text were cut to the trained length.",
    source="Peng et al., YaRN, arXiv:2309.00071; 苏剑林, Transformer升级之路：12、无限外推的ReRoPE？, 2023-08-07, "
    "kexue.fm/archives/9708",
    arms=[
        Arm("plain", Read()),
        Arm("cut", Read(keep=TRAINED)),
        Arm("ntk-mixed", Read(scaling=NTKMixed(factor=2.0))),
        Arm("yarn", Read(scaling=YaRN(factor=2.0, train_length=TRAINED))),
        Arm("rerope-2048", Read(map=ReRoPE(window=2048))),
        Arm("rerope-4096", Read(map=ReRoPE(window=4096))),
    ],
    task=Measured(
        measure=measure,
        unit="text",
        units={"loss@8192": "nats per token", "loss@16384": "nats per token"},
        lower_is_better=("loss@8192", "loss@16384"),
    ),
    profiles={
        "smoke": Profile(seeds=range(1)),
        "hour": Profile(seeds=range(1, len(TEXTS)), note="no text here was read before the predictions"),
    },
    primary="yarn-far",
    predicts=[
        Greater(
            "yarn-far",
            "yarn",
            than="plain",
            metric="loss@16384",
            by=1.0,
            provenance=f"{TWO_TEXTS} (2.314 against 6.763 nats)",
            dated="2026-11-22",
        ),
        Greater(
            "rerope-far",
            "rerope-2048",
            than="plain",
            metric="loss@16384",
            by=1.0,
            provenance=f"{TWO_TEXTS} (2.378 against 6.763 nats)",
            dated="2026-11-22",
        ),
        NotWorse(
            "yarn-not-below-cutting",
            "yarn",
            than="cut",
            metric="loss@16384",
            margin=0.05,
            provenance=f"{TWO_TEXTS} (2.314 against 2.286 nats)",
            dated="2026-11-22",
        ),
        NotWorse(
            "yarn-tax",
            "yarn",
            than="plain",
            metric="loss@8192",
            margin=0.05,
            provenance=f"{TWO_TEXTS} (2.313 against 2.286 nats)",
            dated="2026-11-22",
        ),
        Greater(
            "wider-window",
            "rerope-4096",
            than="rerope-2048",
            metric="loss@16384",
            provenance="blind: half of the trained length instead of a quarter is the other end of what is advised, "
            "and order is kept over twice as many tokens",
            dated="2026-11-22",
        ),
        Greater(
            "yarn-over-ntk-mixed",
            "yarn",
            than="ntk-mixed",
            metric="loss@16384",
            provenance="blind: it leaves the fast pairs, by which near tokens are told apart, as they were trained",
            dated="2026-11-22",
        ),
    ],
    notes="Texts: two stretches of the interpreter's documentation, each paragraph once, and six sources of its "
    "library with much prose; they depend on its version. `cut` reads the last 8192 tokens plainly, whatever came "
    "before: what one has without any method. The weights are the 4-bit ones of the GGUF file, as float32. Needs "
    "`paribus[checkpoints]`.",
)
