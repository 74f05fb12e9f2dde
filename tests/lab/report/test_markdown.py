from collections.abc import Callable
from dataclasses import replace

from paribus.lab.record import Record
from paribus.lab.report.markdown import markdown, rows, safe

from . import records

Make = Callable[..., Record]


def tables(text: str) -> list[list[str]]:
    """Runs of table lines."""
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [one for one in found if one]


def test_the_short_form_has_verdict_predictions_arms_cost_and_plan(make: Make) -> None:
    record = make()
    text = markdown(record)
    assert text.startswith("# Train short, read long: reproduced\n")
    for heading in ("Predictions", "Arms", "Cost", "Plan", "Sources"):
        assert f"\n## {heading}\n" in text
    for outcome in record.verdict.outcomes:
        assert f"| {outcome.prediction.id}" in text
    for arm in record.plan.claim.arms:
        assert f"\n- {arm.name}: " in text
    assert record.plan.digest in text
    assert "`paribus check rerope --profile laptop`" in text
    assert "<" not in text.replace("\\<", "").replace("< 0.0001", "")


def test_every_table_has_equal_rows(make: Make) -> None:
    for record in (make(), make(claim=records.two_trained()), make(claim=records.measured()), make(seeds=1)):
        for table in tables(markdown(record)):
            widths = {line.replace("\\|", "").count("|") for line in table}
            assert len(widths) == 1, table


def test_noise_and_smoke_are_told(make: Make) -> None:
    assert "A/A for squared" in markdown(make(claim=records.two_trained()))
    assert "no comparison needs them" in markdown(make())
    assert "**Smoke run" in markdown(make(profile="smoke", seeds=2))


def test_marks_lose_their_meaning() -> None:
    assert safe("a|b *c* <i>\nd") == "a\\|b \\*c\\* \\<i\\> d"
    assert rows(["a"], [["x|y"]]) == ["| a |", "| --- |", "| x\\|y |"]


def test_titles_are_escaped(make: Make) -> None:
    record = make(claim=replace(records.rerope, title="<script>|*"), seeds=2)
    assert markdown(record).startswith("# \\<script\\>\\|\\*: ")
