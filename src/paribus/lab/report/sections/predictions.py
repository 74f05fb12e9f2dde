"""Every prediction: its sentence, outcome and reason, a picture of its pairs, and the statistics behind it."""

from paribus.lab.predictions import Equivalent
from paribus.lab.record import Record
from paribus.lab.report import words
from paribus.lab.report.figures.differences import Strip, differences
from paribus.lab.report.markup import Html, facts, figure, folded, section, table, tag
from paribus.lab.report.quantity import Quantity, metric_words, p_value
from paribus.lab.rules import ALPHA, EQUIVALENT
from paribus.lab.statistics import signflip_method, summarize
from paribus.lab.verdict import Outcome


def predictions(record: Record) -> Html:
    outcomes = record.verdict.outcomes
    n = outcomes[0].paired.n
    k = len(outcomes)
    shared = (
        f"The {k} comparisons share one chance of error of {100 * ALPHA:g} % (Holm's procedure), so an interval may be "
        "wider than it would be alone."
        if k > 1
        else f"The chance of error is {100 * ALPHA:g} %."
    )
    intro = tag(
        "p",
        f"Written down before the run. In the pictures each dot is a pair, {n} in all: the two arms "
        "under equal conditions. Right of 0 the first-named arm is better. Diamond: mean, with its adjusted 95 % "
        "interval. Dashed: the border that decides. Shaded: differences declared too small to matter (the margin). "
        f"{shared} A prediction is decided only where the interval and a sign-flip test agree.",
    )
    primary = record.verdict.primary
    ordered = sorted(outcomes, key=lambda outcome: outcome.prediction.id != primary)
    return section(
        "The predictions", intro, *[_card(record, outcome) for outcome in ordered], _checks(record), id_="predictions"
    )


def strip(record: Record, outcome: Outcome) -> Strip:
    prediction, shown = outcome.prediction, words.of(record, outcome)
    margin = getattr(prediction, "margin", None)
    low, high = outcome.evidence.ci95
    inner = None
    if _inside_counts(outcome):
        inner = tuple(shown.scaled(end) for end in outcome.evidence.ci90)
    unit = f", {shown.difference_unit}" if shown.difference_unit else ""
    return Strip(
        values=[shown.scaled(value) for value in outcome.paired.values],
        mean=shown.scaled(outcome.paired.mean),
        interval=(shown.scaled(low), shown.scaled(high)),
        borders=words.borders(prediction, shown),
        margin=None if margin is None else shown.scaled(margin),
        left=prediction.sides[1],
        right=prediction.sides[0],
        title=f"difference in {metric_words(prediction.metric)}{unit}",
        inner=inner,  # type: ignore[arg-type]
        salt=f"differences-{prediction.id}",
    )


def _inside_counts(outcome: Outcome) -> bool:
    """Whether the 90 % interval has a say: both one-sided tests of an equivalence."""
    return outcome.paired.n > 1 and (isinstance(outcome.prediction, Equivalent) or outcome.word == EQUIVALENT)


def _narrower(outcome: Outcome, shown: Quantity, scale: float | None) -> list[tuple[object, object]]:
    if not _inside_counts(outcome):
        return []
    unit = f" {shown.difference_unit}" if shown.difference_unit else ""
    ends = words.interval(shown, outcome.evidence.ci90, scale)
    return [("adjusted 90 % interval (thick)", f"{ends}{unit}, for the tests of lying inside the margin")]


def _card(record: Record, outcome: Outcome) -> Html:
    prediction, shown = outcome.prediction, words.of(record, outcome)
    scale, level = words.spread(outcome), outcome.adjusted.level
    unit = f" {shown.difference_unit}" if shown.difference_unit else ""
    single = outcome.paired.n < 2
    ends = "none: one pair" if single else words.interval(shown, outcome.evidence.ci95, scale) + unit
    rows: list[tuple[object, object]] = [
        ("mean difference", shown.difference(outcome.paired.mean, scale) + unit),
        (
            "adjusted 95 % interval",
            f"{ends}" + ("" if single else f" (by itself a {100 * (1 - level):.4g} % interval)"),
        ),
        *_narrower(outcome, shown, scale),
        ("pairs", f"{outcome.paired.n}"),
        (
            "p at the border",
            f"t {p_value(outcome.p_t)}, sign-flip {p_value(outcome.p_signflip)}; Holm {p_value(outcome.adjusted.p)}",
        ),
        ("why this word", words.reason(outcome)),
        ("where it comes from", f"{prediction.provenance}; dated {prediction.dated}"),
    ]
    if outcome.seeds_needed:
        rows.insert(
            5, ("pairs that would decide it", f"about {outcome.seeds_needed:,} (power 0.8, at the spread seen here)")
        )
    note = " · primary" if prediction.id == record.verdict.primary else ""
    border = ", ".join(name for _, name in words.borders(prediction, shown))
    return tag(
        "article",
        tag("p", f"{prediction.id}{note}", class_="over"),
        tag("h3", shown.sentence(prediction)),
        tag("p", tag("span", outcome.word, class_="badge"), class_="outcome"),
        figure(
            differences(strip(record, outcome)),
            tag(
                "span",
                f"Border: {border}. Mean {rows[0][1]}; interval {ends}.",
                class_="unseen",
            ),
        ),
        facts(rows),
        class_=f"prediction {words.kind(outcome)}",
    )


def _checks(record: Record) -> Html:
    """Unadjusted figures of every comparison, tests against no difference."""
    rows = []
    for outcome in record.verdict.outcomes:
        shown, told = words.of(record, outcome), summarize(outcome.paired)
        scale = words.spread(outcome)
        ends = [
            "–" if interval is None or told.n < 2 else words.interval(shown, interval, scale)
            for interval in (told.ci95, told.bca95)
        ]
        rows.append(
            [
                outcome.prediction.id,
                shown.difference_unit,
                str(told.n),
                shown.difference(told.mean, scale),
                "–" if told.sd is None else shown.difference(told.sd, scale).lstrip("+"),
                ends[0],
                ends[1],
                shown.difference(told.median, scale),
                f"{100 * told.share_won:.0f} %",
                "–" if told.d_z is None else f"{told.d_z:+.2f}".replace("-", "−"),
                p_value(told.p_t),
                p_value(told.p_signflip),
                p_value(told.p_wilcoxon),
            ]
        )
    header = [
        "id",
        "unit",
        "n",
        "mean",
        "sd",
        "95 % t",
        "95 % BCa",
        "median",
        "pairs won",
        "d_z",
        "p t",
        "p sign-flip",
        "p Wilcoxon",
    ]
    n = record.verdict.outcomes[0].paired.n
    return folded(
        "Checks against heavy tails: median, Wilcoxon, bootstrap, share of pairs won",
        tag(
            "p",
            "Each comparison by itself, not adjusted, tested against no difference (not against its border). The "
            "bootstrap interval is a check only: it covers too little for few pairs. d_z is mean / sd. "
            f"Sign-flip test: {signflip_method(n)}.",
        ),
        table(header, rows, "Comparisons by themselves", words=2),
    )
