"""What was measured, as pictures: curves over length where there are any, and single numbers as dots."""

from paribus.lab.claim import Arm
from paribus.lab.record import Record
from paribus.lab.report.band import called
from paribus.lab.report.configs import described
from paribus.lab.report.figures.dots import dots
from paribus.lab.report.figures.lengths import lengths
from paribus.lab.report.markup import Html, facts, figure, folded, section, table, tag
from paribus.lab.report.metrics import Curve, curves, means, singles, unit_of
from paribus.lab.report.palette import arm_sign
from paribus.lab.report.quantity import Quantity, metric_words

FEW = 6  # lines that a stranger can follow: with more arms, the first picture has those of the predictions
MOST = 12  # pictures of single metrics; the raw table has the others


def first_picture(record: Record) -> Html:
    """What the page opens with: the primary prediction's measure, over length if it was read at several."""
    found, rest = curves(record), singles(record)
    if found:
        return _of_lengths(record, found[0], first=True, only=_foremost(record))
    return _of_runs(record, rest[0], first=True) if rest else tag("p", "No arm reported any metric.")


def pictures(record: Record) -> Html:
    """The arms, and every other picture."""
    found, rest = curves(record), singles(record)
    shown = rest[:MOST] if found else rest[1:MOST]
    whole = found if _foremost(record) else found[1:]  # the first curve again where it had not all arms
    drawn = [_of_lengths(record, curve, first=False) for curve in whole]
    drawn += [_of_runs(record, quantity, first=False) for quantity in shown]
    if len(rest) > MOST:
        names = ", ".join(quantity.metric for quantity in rest[MOST:])
        drawn.append(tag("p", f"Not drawn, but in the raw table: {names}."))
    arms = [(_name(i, arm), described(record.plan, arm)) for i, arm in enumerate(record.plan.claim.arms)]
    numbers = folded("The same in numbers: mean of every arm", _means(record))
    more = [tag("h3", "More of what came out"), *drawn] if drawn else []
    return section("The arms", facts(arms), *more, numbers, id_="result")


def _foremost(record: Record) -> set[str] | None:
    """The arms that the predictions speak of, where there are too many to show all at once; else None."""
    claim = record.plan.claim
    named = {name for prediction in claim.predicts for name in prediction.contrast}
    return named if len(claim.arms) > FEW and len(named) < len(claim.arms) else None


def _name(index: int, arm: Arm) -> Html:
    """The arm's full name with the marker and colour that it has in the pictures."""
    sign, colour = arm_sign(index)
    return tag("strong", tag("span", sign, class_=colour, aria_hidden="true"), " ", arm.name)


def _of_lengths(record: Record, curve: Curve, first: bool, only: set[str] | None = None) -> Html:
    n = len(record.plan.profile.seeds)
    trained = getattr(record.plan.task, "train_length", None)
    said = [f"Each line is one arm: {_direction(curve.quantity)}"]
    if only is not None:
        said.append(f"{len(only)} of {len(record.plan.claim.arms)} arms, those of the predictions; all are below.")
    if first:
        last = getattr(getattr(record.plan.task, "metric", None), "last", None)
        if last:
            said.append(f"At every length the same last {last} tokens are scored; only the context before them grows.")
        if trained and max(curve.at) > trained:
            said.append(
                f"In the shaded part models read more at a time than the {trained} tokens they were trained on."
            )
    said.append(f"Points: {'mean over seeds' if n > 1 else 'one run'}; {called(n, _unit(record))}.")
    if first and n > 1:
        said.append(_paired(record, "band"))
    return figure(lengths(record, curve, only), " ".join(said), class_="hero" if first else "wide")


def _of_runs(record: Record, quantity: Quantity, first: bool) -> Html:
    n = len(record.plan.profile.seeds)
    unit = _unit(record)
    said = [f"{metric_words(quantity.metric).capitalize()}: {_direction(quantity)} Each dot is one {unit}."]
    if n > 1:
        said.append(f"Upright mark: mean; {called(n, unit).replace('band: ', 'bar: ')}.")
    if first and n > 1:
        said.append(_paired(record, "bar"))
    return figure(dots(record, quantity), " ".join(said), class_="hero" if first else "wide")


def _direction(quantity: Quantity) -> str:
    return "lower is better." if quantity.lower_is_better else "higher is better."


def _unit(record: Record) -> str:
    return "seed" if unit_of(record) == "seed" else "replicate"


def _paired(record: Record, name: str) -> str:
    unit = _unit(record)
    return f"Two {name}s may overlap although the arms differ: the verdict compares arms {unit} by {unit} (below)."


def _means(record: Record) -> Html:
    header, rows = means(record)
    n = len(record.plan.profile.seeds)
    return table(header, rows, f"Mean over {n} {_unit(record)}{'s' * (n > 1)}")
