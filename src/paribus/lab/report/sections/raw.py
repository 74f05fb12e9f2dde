"""Every number behind the report, and where its methods come from."""

from paribus.core.config import bibliography
from paribus.core.errors import ParibusError
from paribus.lab.record import Record
from paribus.lab.report.markup import Html, folded, section, table, tag
from paribus.lab.report.metrics import names, unit_of


def raw(record: Record) -> Html:
    header, rows = raw_table(record)
    unit = "seed" if unit_of(record) == "seed" else "replicate"
    differing = [
        [outcome.prediction.id, str(seed), digits(value)]
        for outcome in record.verdict.outcomes
        for seed, value in zip(record.results[next(iter(outcome.prediction.contrast))], outcome.paired.values)
    ]
    trainings = [
        [arm, str(seed), one.result["status"], *map(digits, one.result["metrics"].values()), one.cell.digest[:12]]
        for (arm, seed), one in record.trained.items()
    ]
    kinds = list(next(iter(record.trained.values())).result["metrics"]) if trainings else []
    training_header = ["arm", "seed", "status", *kinds, "cell"]
    return section(
        "The raw numbers",
        tag("p", "In the task's own units, six digits; verdict.json beside this file has all digits."),
        folded(f"Every arm, {unit} and metric", table(header, rows, "Verdict cells", words=3)),
        folded(
            "Every paired difference",
            table(["prediction", unit, "difference"], differing, "Positive: the arm is better"),
        ),
        folded("Every training", table(training_header, trainings, "Trainings", words=3)) if trainings else "",
        id_="raw",
    )


def raw_table(record: Record) -> tuple[list[str], list[list[str]]]:
    unit = "seed" if unit_of(record) == "seed" else "replicate"
    metrics = names(record)
    rows = []
    for arm in record.plan.claim.arms:
        for seed, found in record.results.get(arm.name, {}).items():
            computed = record.read.get((arm.name, seed))
            numbers = [digits(found[name]) if name in found else "–" for name in metrics]
            status, cell = ("–", "–") if computed is None else (computed.result["status"], computed.cell.digest[:12])
            rows.append([arm.name, str(seed), status, *numbers, cell])
    return ["arm", unit, "status", *metrics, "cell"], rows


def digits(value: float) -> str:
    """Six significant digits with a true minus."""
    return f"{value:#.6g}".replace("-", "−")


def sources(record: Record) -> list[tuple[str, str]]:
    """(what, source): the claim's own, then those of every part of arms and task."""
    claim = record.plan.claim
    configs = [record.plan.sized[a.name].config if a.name in record.plan.sized else a.config for a in claim.arms]
    try:
        cited = bibliography([*configs, claim.task])
    except ParibusError:
        cited = []
    return [("the claim", claim.source), *cited]


def references(record: Record) -> Html:
    rows = [tag("li", tag("strong", what), f": {source}") for what, source in sources(record)]
    return section("Sources", tag("ul", *rows), id_="sources")
