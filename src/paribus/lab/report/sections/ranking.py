"""All arms against one another: who differs from whom, in letters."""

from paribus.lab import power
from paribus.lab.ranking import Ranking
from paribus.lab.record import Record
from paribus.lab.report.figures.dots import dots
from paribus.lab.report.markup import Html, figure, folded, join, section, table, tag
from paribus.lab.report.metrics import unit_of
from paribus.lab.report.palette import arm_sign
from paribus.lab.report.quantity import Quantity, metric_words, number, p_value
from paribus.lab.rules import ALPHA


def ranking(record: Record) -> Html:
    """Nothing where there is no ranking: two arms, one replicate, or a smoke run."""
    if not record.rankings:
        return Html("")
    first, *others = record.rankings
    intro = tag(
        "p",
        "Two arms that share a letter were ",
        tag("strong", "not shown to differ"),
        "; two arms without a common letter were. That is all that letters say: arms that share one need not be equal. "
        + rules(record, first),
    )
    more = [folded(f"The ranking in {metric_words(one.metric)}", _shown(record, one)) for one in others]
    if first.n < power.fewest_seeds():  # letters would say nothing: out of the way
        means = folded(f"The means in {metric_words(first.metric)}, best first", _shown(record, first))
        return section("All arms, ranked", intro, means, *more, id_="ranking")
    return section("All arms, ranked", intro, _shown(record, first), *more, id_="ranking")


def rules(record: Record, one: Ranking) -> str:
    """How the pairs were compared, and what so many of them ask for."""
    count, unit = len(one.pairs), "seed" if unit_of(record) == "seed" else "replicate"
    needed = power.fewest_seeds()
    few = (
        f" With {one.n} {unit}s no two of {len(one.places)} arms can be told apart: {needed} would be the fewest."
        if one.n < needed
        else ""
    )
    noisy = any(outcome.held for outcome in record.verdict.outcomes if outcome.prediction.metric == one.metric)
    held = (
        " Two trainings of one and the same arm already differ in this metric by more than chance: trust none of these "
        "differences."
        if noisy
        else ""
    )
    return (
        f"Every two arms are compared {unit} by {unit}, by the paired t test (adjusted by Holm) and the sign-flip test "
        f"(all pairs at once, max-T); the {count} pairs share a chance of error of {100 * ALPHA:g} %, which is apart "
        f"from that of the predictions.{few}{held}"
    )


def _shown(record: Record, one: Ranking) -> Html:
    shown = _quantity(one)
    letters = {place.arm: place.letters for place in one.places}
    better = "lowest" if shown.lower_is_better else "highest"
    caption = (
        f"{metric_words(one.metric).capitalize()}, {better} mean first. Dots: single runs; upright mark: mean with its "
        "bar. At the right the letters."
    )
    return join(
        [
            figure(dots(record, shown, letters), caption, class_="wide"),
            table(*places(record, one), f"Ranking in {metric_words(one.metric)}"),
            folded(f"All {len(one.pairs)} pairs", table(*pairs(one), "Every two arms, both p adjusted", words=2)),
        ]
    )


def places(record: Record, one: Ranking, signs: bool = True) -> tuple[list[object], list[list[object]]]:
    """Header and rows of the ranking itself; signs: with the markers of the pictures."""
    shown = _quantity(one)
    header: list[object] = ["arm", f"mean, {shown.unit_shown}".removesuffix(", "), "letters"]
    index = {arm.name: i for i, arm in enumerate(record.plan.claim.arms)}
    rows: list[list[object]] = []
    for place in one.places:
        sign, colour = arm_sign(index[place.arm])
        name = join([tag("span", sign, class_=colour, aria_hidden="true"), f" {place.arm}"])
        rows.append([name if signs else place.arm, number(shown.scaled(place.mean)), place.letters])
    return header, rows


def pairs(one: Ranking) -> tuple[list[object], list[list[object]]]:
    """Header and rows of the comparisons behind it."""
    shown = _quantity(one)
    header: list[object] = ["arm", "than", f"better by, {shown.difference_unit}".removesuffix(", ")]
    header += ["p t", "p sign-flip", "shown to differ"]
    rows: list[list[object]] = []
    for each in one.pairs:
        half = (each.paired.interval(0.95)[1] - each.paired.interval(0.95)[0]) / 2
        size = shown.difference(each.paired.mean, half)
        ps = [p_value(p) for p in (each.p_t, each.p_signflip)]
        rows.append([each.arm, each.than, size, *ps, "yes" if each.differ else "no"])
    return header, rows


def _quantity(one: Ranking) -> Quantity:
    return Quantity(one.metric, one.measure.unit, one.measure.lower_is_better)
