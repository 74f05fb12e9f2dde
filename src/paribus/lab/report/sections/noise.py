"""The noise floor: one arm against its own twin."""

from paribus.lab.claim import Measured
from paribus.lab.record import Record
from paribus.lab.report import words
from paribus.lab.report.figures.differences import Strip, differences
from paribus.lab.report.markup import Html, figure, section, tag
from paribus.lab.report.quantity import metric_words, p_value
from paribus.lab.rules import AA_ALPHA


def noise(record: Record) -> Html:
    plan = record.plan
    title = "The noise floor (A/A)"
    if not record.noise:
        if isinstance(plan.task, Measured):
            why = "None is needed: nothing is trained, the arms are measured on the same things."
        elif plan.control is None:
            why = (
                "None is needed: every comparison is between readers of the very same trained weights, so no "
                "difference of two trainings can pass for a difference of the arms."
            )
        else:
            why = f"No A/A runs of {plan.control.name} are recorded."
        return section(title, tag("p", why), id_="noise")
    control = plan.control.name if plan.control is not None else "the control"
    intro = tag(
        "p",
        f"{control} was trained a second time at every seed, its first weights changed by one part in a million. "
        "Whatever differs between such twins is numerical chaos and no merit. A verdict is held at undecided if the "
        f"twins differ with p < {AA_ALPHA:g} and by more than half the margin (shaded) on average.",
    )
    drawn: dict[str, list[str]] = {}
    pictures = []
    for outcome in record.verdict.outcomes:
        twin = record.noise.get(outcome.prediction.id)
        if twin is None:
            continue
        metric, shown = outcome.prediction.metric, words.of(record, outcome)
        margin = getattr(outcome.prediction, "margin", None)
        limit = (getattr(outcome.prediction, "by", 0.0) if margin is None else margin) / 2
        key = f"{metric} {limit}"
        drawn.setdefault(key, []).append(outcome.prediction.id)
        if len(drawn[key]) > 1:
            continue
        unit = f", {shown.difference_unit}" if shown.difference_unit else ""
        low, high = twin.interval(0.95)
        strip = Strip(
            values=[shown.scaled(value) for value in twin.values],
            mean=shown.scaled(twin.mean),
            interval=(shown.scaled(low), shown.scaled(high)),
            borders=[],
            margin=shown.scaled(limit) if limit else None,
            left=control,
            right="its twin",
            title=f"difference in {metric_words(metric)}{unit}",
            salt=f"noise-{outcome.prediction.id}",
        )
        told = "holds the verdict at undecided" if outcome.held else "does not hold the verdict"
        scale = (high - low) / 2 if twin.n > 1 else None
        pictures.append(
            figure(
                differences(strip),
                f"Twins of {control} in {metric_words(metric)}: mean {shown.difference(twin.mean, scale)}{unit[1:]}, "
                f"p = {p_value(twin.p_t())}; this {told}. Diamond: mean with its plain 95 % interval.",
                class_="wide",
            )
        )
    return section(title, intro, *pictures, id_="noise")
