"""Plain sentences for a verdict: what was compared, what came out, and what the word means."""

import re

from paribus.lab.plan import Plan
from paribus.lab.predictions import Equivalent, Greater, NotWorse, Prediction
from paribus.lab.record import Record
from paribus.lab.report.metrics import unit_of, values
from paribus.lab.report.quantity import Quantity, metric_words, quantity
from paribus.lab.rules import CONTRADICTED, EQUIVALENT, REPRODUCED, UNDECIDED
from paribus.lab.verdict import Outcome


def of(record: Record, outcome: Outcome) -> Quantity:
    """The quantity that an outcome speaks of, by the measure that it was judged with."""
    found = quantity(record.plan.claim, outcome.prediction.metric)
    return Quantity(found.metric, outcome.measure.unit, outcome.measure.lower_is_better)


def pairs(record: Record, n: int) -> str:
    """`8 paired seeds`, `12 paired replicates (each a document)`."""
    unit, s = unit_of(record), "" if n == 1 else "s"
    return f"{n} paired seed{s}" if unit == "seed" else f"{n} paired replicate{s} (unit: {unit})"


def spread(outcome: Outcome) -> float | None:
    """The size that says how many digits of a difference mean anything."""
    low, high = outcome.evidence.ci95
    half = (high - low) / 2
    return half if 0 < half < float("inf") else None


def interval(quantity: Quantity, ends: tuple[float, float], scale: float | None = None) -> str:
    return f"{quantity.difference(ends[0], scale)} to {quantity.difference(ends[1], scale)}"


def result(record: Record, outcome: Outcome) -> str:
    """What was compared and what came out, in one sentence without the word."""
    prediction, shown = outcome.prediction, of(record, outcome)
    mean, scale = outcome.paired.mean, spread(outcome)
    arm, than = prediction.sides
    means = [
        sum(found) / len(found)
        for one in (prediction.arm, prediction.than)
        if (found := values(record, one, prediction.metric))
    ]
    size = shown.difference(abs(mean), scale).lstrip("+")
    unit = f" {shown.difference_unit}" if shown.difference_unit else ""
    low, high = outcome.evidence.ci95 if outcome.paired.n >= 2 else (mean, mean)
    if outcome.paired.resolution >= abs(mean):
        what = f"there was no difference between {arm} and {than}"
    else:
        first, second = arm, than
        if mean < 0:  # the interval is told as the sentence goes
            first, second, low, high = than, arm, -high, -low
        what = f"{first} was better than {second} by {size}{unit} on average"
    told = f"In {metric_words(prediction.metric)}, {what}"
    if len(means) == 2:
        told += f" ({arm} {shown.value(means[0], scale)}, {than} {shown.value(means[1], scale)})"
    n = outcome.paired.n
    if n < 2:
        return f"{told}, from {pairs(record, n)}: a single pair has no interval."
    ends = interval(shown, (low, high), scale)
    return f"{told}, over {pairs(record, n)}; the adjusted 95 % interval of the difference is {ends}{unit}."


def meaning(outcome: Outcome, quantity: Quantity, smoke: bool) -> str:
    """What the word says of this prediction."""
    prediction, word = outcome.prediction, outcome.word
    arm, than = prediction.sides
    if smoke:
        return "A smoke run only shows that everything works; it is too short for any verdict."
    if word == UNDECIDED:
        if outcome.held:
            return (
                f"“Undecided” here means held back: two runs of one and the same arm already differ by more than "
                f"chance, so a difference between {arm} and {than} cannot be trusted."
            )
        needed = outcome.seeds_needed
        more = f" About {needed:,} pairs would decide it, by the spread seen here." if needed else ""
        why = reason(outcome)
        return f"“Undecided” means: these runs neither confirm nor refute the prediction; {why}.{more}"
    border = _border(prediction, quantity)
    match prediction, word:
        case Greater(), _ if word == REPRODUCED:
            shown = f"{arm} is better than {than}{border}"
        case Greater(), _ if word == EQUIVALENT:
            shown = (
                f"{arm} is not better than {than}{border}, and the two differ by less than "
                f"{quantity.amount(prediction.margin or 0.0)}, which was declared not to matter"
            )
        case Greater(), _ if word == CONTRADICTED:
            shown = f"{arm} is not better than {than}{border}" if border else f"{arm} is worse than {than}"
        case NotWorse(), _ if word == REPRODUCED:
            shown = f"whatever {arm} may lose against {than} is less than {quantity.amount(prediction.margin)}"
        case NotWorse(), _:
            shown = f"{arm} is worse than {than} by more than {quantity.amount(prediction.margin)}"
        case Equivalent(), _ if word == REPRODUCED:
            shown = f"{arm} and {than} differ by less than {quantity.amount(prediction.margin)}"
        case Equivalent(), _:
            shown = f"{arm} and {than} differ by more than {quantity.amount(prediction.margin)}"
        case _:
            return ""
    return (
        f"“{word.capitalize()}” means: shown by an interval and by a permutation test, with a chance of error of 5 % "
        f"shared by all comparisons of this claim, that {shown} – at this size, on this data."
    )


def _border(prediction: Prediction, quantity: Quantity) -> str:
    by = getattr(prediction, "by", 0.0)
    return f" by more than {quantity.amount(by)}" if by else ""


def reason(outcome: Outcome) -> str:
    """The judge's reason without its numbers, which stand beside it in the unit shown."""
    told = re.sub(r" \[[^\]]*\]", "", outcome.reason)
    return re.sub(r" by [-+][-+.\de]+ on average \(p = [-+.\de]+\)", "", told)


def borders(prediction: Prediction, quantity: Quantity) -> list[tuple[float, str]]:
    """The borders that decide a prediction, in the unit shown, with their names."""
    match prediction:
        case Greater():
            size = f"{quantity.scaled(prediction.by):g}"
            name = f"predicted: more than {size}" if prediction.by else "predicted: more than 0"
            return [(quantity.scaled(prediction.by), name)]
        case NotWorse() | Equivalent():
            m = quantity.scaled(prediction.margin)
            both = [(-m, f"−{m:g}"), (m, f"+{m:g}")]
            return both if isinstance(prediction, Equivalent) else [(-m, f"may lose less than {m:g}")]
    return []


def diverged(record: Record) -> str:
    """Which trainings diverged and what they count as; empty where none did."""
    gone = [f"{arm}, seed {seed}" for (arm, seed), one in record.trained.items() if one.result["status"] == "diverged"]
    if not gone:
        return ""
    return (
        f"{len(gone)} of {len(record.trained)} trainings diverged ({'; '.join(gone)}). None is left out: each counts "
        "as the worst value of every metric."
    )


def kind(outcome: Outcome) -> str:
    """The word's class of colour."""
    return outcome.word.split()[0]


def command(plan: Plan) -> str:
    """What to type to run the same plan again."""
    from paribus.lab.index import claim_files

    known = plan.name in claim_files()
    told = f"paribus check {plan.name}" if known else f"paribus compare {plan.name.replace('-', '_')}.py"
    told += f" --profile {plan.profile_name}"
    declared = plan.claim.profiles.get(plan.profile_name)
    if declared is not None and declared.seeds != plan.profile.seeds:
        told += f" --seeds {len(plan.profile.seeds)}"
    return told
