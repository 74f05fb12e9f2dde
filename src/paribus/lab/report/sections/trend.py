"""How the arms and their differences move with the budget, where the profile has a trend."""

from statistics import fmean

from paribus.lab.along import Point
from paribus.lab.claim import Trained
from paribus.lab.record import Record
from paribus.lab.report import words
from paribus.lab.report.band import band, called
from paribus.lab.report.figures.trend import Line, trend
from paribus.lab.report.markup import Html, figure, folded, join, section, table, tag
from paribus.lab.report.quantity import Quantity, metric_words
from paribus.lab.verdict import Outcome


def trends(record: Record) -> Html:
    """Nothing where there is no trend."""
    found = record.points()
    if not found:
        return join([])
    n = len(record.plan.profile.seeds)
    said = (
        f"Each budget is a run of its own schedule: {how(record)}. {called(n).capitalize()}; the intervals of the "
        "differences are of one comparison each and decide nothing. The verdict is that of the whole budget."
    )
    drawn = [picture for metric in metrics(record) for picture in _pictures(record, found, metric)]
    header, rows = trend_table(record)
    numbers = folded("The same in numbers", table(header, rows, "Means of the arms, then paired differences"))
    return section("The trend over budgets", tag("p", said), *drawn, numbers, id_="trend")


def how(record: Record) -> str:
    """The form of the trend in words."""
    declared = record.plan.profile.trend
    if declared is None:
        return ""
    return (
        "one trunk at a constant rate, and from its snapshots a linear decay over the last "
        f"{100 * declared.decay:g} % of each budget"
    )


def metrics(record: Record) -> list[str]:
    """The metrics that predictions speak of, the primary's first."""
    first = record.verdict.headline.prediction.metric
    return list(dict.fromkeys([first, *(outcome.prediction.metric for outcome in record.verdict.outcomes)]))


def _pictures(record: Record, found: list[Point], metric: str) -> list[Html]:
    outcomes = [outcome for outcome in record.verdict.outcomes if outcome.prediction.metric == metric]
    shown = words.of(record, outcomes[0])
    arms = [
        Line(
            index,
            arm.name,
            [(p.tokens, band([shown.scaled(m[metric]) for m in p.results[arm.name].values()])) for p in found],
        )
        for index, arm in enumerate(record.plan.claim.arms)
    ]
    unit = f", {shown.unit_shown}" if shown.unit_shown else ""
    above = trend(arms, f"{metric_words(metric)}{unit} ({shown.better})", False, f"trend-{metric}")
    differences = _differences(record, found, outcomes, shown)
    name = f"paired difference in {metric_words(metric)}, {shown.difference_unit} (above 0: first arm better)"
    below = trend(differences, name, True, f"trend-difference-{metric}")
    told = "; ".join(f"{one.prediction.id}: {_sides(one)}" for one in outcomes)
    return [
        figure(above, f"{metric_words(metric).capitalize()} of every arm: {shown.better}.", class_="wide"),
        figure(below, f"Difference by seed, positive where the arm named first is better. {told}.", class_="wide"),
    ]


def _differences(record: Record, found: list[Point], outcomes: list[Outcome], shown: Quantity) -> list[Line]:
    """A line a prediction, in the colour of its first arm while no other line has it."""
    names = [arm.name for arm in record.plan.claim.arms]
    lines: list[Line] = []
    for outcome in outcomes:
        own = [i for i, name in enumerate(names) if name == outcome.prediction.arm]
        free = (
            i for i in (*own, *range(len(names), len(names) + len(outcomes))) if i not in {line.index for line in lines}
        )
        at = [(p.tokens, band([shown.scaled(d) for d in p.differences[outcome.prediction.id].values])) for p in found]
        lines.append(Line(next(free), outcome.prediction.id, at))
    return lines


def _sides(outcome: Outcome) -> str:
    return f"{outcome.prediction.arm} against {outcome.prediction.than}"


def trend_table(record: Record) -> tuple[list[str], list[list[str]]]:
    """One row a budget: means of every arm in the metrics that are predicted, then the paired differences."""
    found = record.points()
    assert isinstance(record.plan.task, Trained)
    header, columns = [record.plan.counted], [[f"{p.tokens:,}" for p in found]]
    by_metric = {outcome.prediction.metric: words.of(record, outcome) for outcome in record.verdict.outcomes}
    for metric in metrics(record):
        shown = by_metric[metric]
        for arm in record.plan.claim.arms:
            header.append(f"{arm.name}: {metric}{', ' + shown.unit_shown if shown.unit_shown else ''}")
            columns.append([_mean(shown, [m[metric] for m in p.results[arm.name].values()]) for p in found])
    for outcome in record.verdict.outcomes:
        shown = by_metric[outcome.prediction.metric]
        header.append(f"difference {outcome.prediction.id}, {shown.difference_unit} (95 %)")
        columns.append([_interval(shown, p, outcome.prediction.id) for p in found])
    return header, [list(row) for row in zip(*columns, strict=True)]


def _mean(shown: Quantity, found: list[float]) -> str:
    return shown.value(fmean(found)).removesuffix(shown.unit_shown).strip()


def _interval(shown: Quantity, point: Point, name: str) -> str:
    d = point.differences[name]
    if d.n < 2:
        return shown.difference(d.mean)
    ends = d.interval(0.95)
    half = (ends[1] - ends[0]) / 2 or None
    return f"{shown.difference(d.mean, half)} ({words.interval(shown, ends, half)})"
