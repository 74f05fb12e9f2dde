"""What was equal for all arms and how the arms differ: arms, recipe, budget, matching, corpus, plan."""

import json
import math

from paribus.lab.claim import Trained
from paribus.lab.plan import Plan, plan_json
from paribus.lab.record import Record
from paribus.lab.report import words
from paribus.lab.report.configs import origin_of
from paribus.lab.report.markup import Html, facts, folded, join, section, table, tag
from paribus.lab.report.metrics import unit_of
from paribus.lab.report.sections.trend import how
from paribus.lab.stack import spelled
from paribus.tokenizer.bytes import Bytes


def protocol(record: Record) -> Html:
    plan = record.plan
    return section(
        "How it was run",
        tag("p", "To run it again: ", tag("code", words.command(plan)), class_="again"),
        table(*arms(plan), "Arms and their prices at the trained length", words=2) if plan.sized else "",
        facts(protocol_facts(record)),
        _corpus(plan),
        tag("p", tag("strong", "What to know. "), plan.claim.notes) if plan.claim.notes else "",
        folded(
            "The whole plan, as its digest covers it",
            tag("pre", json.dumps(json.loads(plan_json(plan)), indent=1, ensure_ascii=False)),
        ),
        id_="protocol",
    )


def arms(plan: Plan) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of arms with their prices."""
    header = ["arm", "weights", "parameters", "training MFLOP a token", "causal pairs only", "residual"]
    rows = []
    for arm in plan.claim.arms:
        sized = plan.sized.get(arm.name)
        if sized is None:
            continue
        flops = (plan.training_flops(arm), plan.training_flops(arm, causal=True))
        residual = "–" if arm.reads else f"{100 * sized.residual:+.3f} %".replace("-", "−")
        prices = [f"{each / 1e6:.3f}" for each in flops]
        rows.append([arm.name, origin_of(arm), f"{sized.n_parameters:,}", *prices, residual])
    return header, rows


def protocol_facts(record: Record) -> list[tuple[object, object]]:
    plan, task = record.plan, record.plan.task
    seeds = ", ".join(map(str, plan.profile.seeds))
    rows: list[tuple[object, object]] = []
    if isinstance(task, Trained):
        epochs, step = _epochs(plan), plan.tokens_per_step
        rows += [
            ("recipe, for every arm", plan.recipe(plan.steps).describe()),
            *([("trend", how(record))] if record.trend else []),
            (
                "budget of one training",
                f"{plan.steps:,} steps of {step:,} {plan.counted} = {plan.steps * step:,} {plan.counted}"
                + ("" if epochs is None else f", {epochs:.3g} passes over the train split"),
            ),
            ("trained at length", f"{task.train_length} tokens"),
            ("measured by", repr(task.metric)),
            ("data", repr(task.data)),
            *((f"{arm.name} reads it by", repr(arm.data)) for arm in plan.claim.arms if arm.data is not None),
            (
                "matched in",
                f"{task.match}" + ("" if task.match == "none" else ", by solving d_ff; residuals in the table"),
            ),
            ("verdict seeds", seeds),
            *(
                [("stacked seeds", f"{stacks}: each piece trained as one batched model, which changes rounding only")]
                if (stacks := spelled(plan.profile))
                else []
            ),
            (
                "learning rates",
                ", ".join(f"{arm} {rate:g}" for arm, rate in record.rates.items())
                + (" (searched)" if plan.searched else " (not searched here)"),
            ),
        ]
    else:
        rows += [(f"replicates, unit: {unit_of(record)}", seeds)]
    if plan.profile.note:
        rows.append(("note of the profile", plan.profile.note))
    rows.append(("test split opened, in this folder", times(record.measured.get("test_openings"))))
    rows.append(("plan", tag("code", plan.digest)))
    return rows


def times(count: object) -> str:
    return "not counted" if not isinstance(count, int) else "once" if count == 1 else f"{count} times"


def _corpus(plan: Plan) -> Html:
    rows = corpus_facts(plan)
    splits = plan.manifest.get("splits")
    parts = [tag("h3", "Corpus"), facts(rows)] if rows else []
    if isinstance(splits, dict):
        body = [
            [
                name,
                f"{part.get('documents', 0):,}",
                f"{part.get('bytes', 0):,}",
                tag("code", str(part.get("sha256", "–"))[:16]),
            ]
            for name, part in splits.items()
        ]
        parts.append(table(["split", "documents", "bytes", "SHA-256 begins"], body, "Splits"))
    return join(parts)


def corpus_facts(plan: Plan) -> list[tuple[object, object]]:
    manifest = plan.manifest
    rows: list[tuple[object, object]] = []
    corpus = manifest.get("corpus")
    if corpus is not None:
        name = corpus.get("part", corpus) if isinstance(corpus, dict) else corpus
        fields = {k: v for k, v in corpus.items() if k != "part"} if isinstance(corpus, dict) else {}
        rows.append(("corpus", f"{name}" + (f" {json.dumps(fields, ensure_ascii=False)}" if fields else "")))
    if manifest.get("python"):
        rows.append(("texts of Python", manifest["python"]))
    if manifest.get("digest"):
        rows.append(("manifest", tag("code", manifest["digest"])))
    bits = manifest.get("zlib_bits_per_byte")
    if bits is not None:
        told = f"{bits:.4g} bits a byte"
        if _reads_bytes(plan):
            told += f" = {bits * math.log(2):.4g} nats a token here, where tokens are bytes"
        rows.append(
            ("zlib on this corpus, a yardstick", f"{told}; a model with a higher loss has learnt less than zlib knows")
        )
    return rows


def _reads_bytes(plan: Plan) -> bool:
    return isinstance(getattr(getattr(plan.task, "data", None), "tokenizer", None), Bytes)


def _epochs(plan: Plan) -> float | None:
    """Passes over the train split, where tokens are bytes."""
    splits = plan.manifest.get("splits")
    if not isinstance(splits, dict) or not _reads_bytes(plan):
        return None
    size = splits.get("train", {}).get("bytes", 0)
    return plan.steps * plan.tokens_per_step / size if size else None
