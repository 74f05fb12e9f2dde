"""The same facts in short, as Markdown: what docs/claims/ keeps beside the JSON."""

import html
import re
from collections.abc import Iterable, Sequence

from paribus.lab.record import Record
from paribus.lab.report import words
from paribus.lab.report.configs import described
from paribus.lab.report.markup import Html, plain
from paribus.lab.report.metrics import means
from paribus.lab.report.quantity import p_value
from paribus.lab.report.sections.cost import cost_facts
from paribus.lab.report.sections.protocol import arms, corpus_facts, protocol_facts
from paribus.lab.report.sections.ranking import places, rules
from paribus.lab.report.sections.raw import sources
from paribus.lab.report.sections.trend import how, trend_table


def markdown(record: Record) -> str:
    plan, outcome = record.plan, record.verdict.headline
    shown = words.of(record, outcome)
    smoke = ["**Smoke run: nothing below is evidence for or against the claim.**", ""] if plan.smoke else []
    lines = [
        f"# {safe(plan.claim.title or plan.name)}: {record.verdict.word}",
        "",
        safe(plan.claim.statement),
        "",
        *smoke,
        safe(words.result(record, outcome)),
        "",
        safe(words.meaning(outcome, shown, plan.smoke)),
        "",
        *([safe(gone), ""] if (gone := words.diverged(record)) else []),
        "## Predictions",
        "",
        *_predictions(record),
        "",
        *_rankings(record),
        "## Arms",
        "",
        *_list((arm.name, described(plan, arm)) for arm in plan.claim.arms),
        "",
        *([*rows(*arms(plan)), ""] if plan.sized else []),
        *rows(*means(record)),
        "",
        *(
            ["## Trend over budgets", "", safe(f"{how(record)}."), "", *rows(*trend_table(record)), ""]
            if record.trend
            else []
        ),
        "## Cost",
        "",
        *_list(cost_facts(record)),
        "",
        "## Plan",
        "",
        f"Run again: `{words.command(plan)}`",
        "",
        *_list([*protocol_facts(record), *corpus_facts(plan)]),
        *([f"- noise floor: {safe(line)}" for line in _noise(record)]),
        "",
        "## Sources",
        "",
        *_list(sources(record)),
    ]
    if plan.claim.notes:
        lines += ["", "## Notes", "", safe(plan.claim.notes)]
    return "\n".join(lines) + "\n"


def _predictions(record: Record) -> list[str]:
    body = []
    for outcome in record.verdict.outcomes:
        prediction, shown = outcome.prediction, words.of(record, outcome)
        scale = words.spread(outcome)
        ends = "–" if outcome.paired.n < 2 else words.interval(shown, outcome.evidence.ci95, scale)
        body.append(
            [
                prediction.id + (" (primary)" if prediction.id == record.verdict.primary else ""),
                shown.sentence(prediction),
                outcome.word,
                f"{shown.difference(outcome.paired.mean, scale)} {shown.difference_unit}",
                ends,
                p_value(outcome.adjusted.p),
                str(outcome.paired.n),
                words.reason(outcome),
                f"{prediction.provenance}; {prediction.dated}",
            ]
        )
    header = [
        "prediction",
        "says",
        "outcome",
        "mean difference",
        "adjusted 95 % interval",
        "p (Holm)",
        "pairs",
        "why",
        "provenance",
    ]
    return rows(header, body)


def _rankings(record: Record) -> list[str]:
    if not record.rankings:
        return []
    one = record.rankings[0]
    told = "Arms that share a letter were not shown to differ, which does not make them equal. " + rules(record, one)
    return ["## Ranking", "", safe(told), "", *rows(*places(record, one, signs=False)), ""]


def _noise(record: Record) -> list[str]:
    if not record.noise:
        return ["no A/A runs, as no comparison needs them" if record.plan.control is None else "no A/A runs"]
    told = []
    for outcome in record.verdict.outcomes:
        twin = record.noise.get(outcome.prediction.id)
        if twin is not None:
            shown = words.of(record, outcome)
            mean = f"{shown.difference(twin.mean)} {shown.difference_unit}".strip()
            told.append(f"A/A for {outcome.prediction.id}: mean {mean}, p = {p_value(twin.p_t())}")
    return told


def rows(header: Sequence[object], body: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *body]
    return ["| " + " | ".join(safe(cell) for cell in line) + " |" for line in lines]


def _list(pairs: Iterable[tuple[object, object]]) -> list[str]:
    return [f"- {safe(name)}: {safe(value)}" for name, value in pairs]


def safe(value: object) -> str:
    """One line of text that Markdown shows as it is; HTML of ours becomes its text first."""
    shown = html.unescape(re.sub(r"<[^>]*>", "", value)) if isinstance(value, Html) else plain(value)
    line = " ".join(shown.split())
    return re.sub(r"([\\`*_\[\]|<>#])", r"\\\1", line) if line != "---" else line
