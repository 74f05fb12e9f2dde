"""The page: whole, offline, the same each time, and never at a loss over an odd record."""

import math
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from paribus.lab.claim import Arm, Claim
from paribus.lab.plan import Plan
from paribus.lab.record import Record
from paribus.lab.report.markdown import markdown
from paribus.lab.report.page import page
from paribus.lab.report.write import write_report
from paribus.lab.statistics import Paired

from . import records

Make = Callable[..., Record]


class Whole(HTMLParser):
    """Fails on a tag that is closed in the wrong place; gathers text, ids and what might be loaded."""

    VOID = ("meta",)

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        self.targets: list[str] = []
        self.said: list[str] = []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} has {name}"
            if name == "id":
                self.ids[value or ""] += 1
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.targets.append(value or "")
            self.targets += re.findall(r"url\(([^)]*)\)", value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def checked(record: Record) -> Whole:
    """The page of a record, checked for everything that holds of every page."""
    document = page(record)
    whole = Whole(document)
    assert not set(whole.tags) & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "audio",
        "video",
        "base",
        "form",
    }
    assert all(target.startswith("#") for target in whole.targets), whole.targets
    assert not re.search(r"@import|@font-face|url\((?!#)", document)
    assert "default-src 'none'" in document
    assert max(whole.ids.values()) == 1, [name for name, count in whole.ids.items() if count > 1]
    assert {target[1:] for target in whole.targets} <= set(whole.ids)
    pictures = re.findall(r"<svg.*?</svg>", document, re.DOTALL)
    assert len(pictures) == whole.tags["svg"] > 0
    assert document.index("<svg") < document.index('id="verdict"') < document.index("<h2"), (
        "the page opens with a picture"
    )
    for picture in pictures:
        root = ET.fromstring(picture)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert "viewBox" in root.attrib
        assert not re.search(r"\b(nan|inf)\b", " ".join(re.findall(r'(?: d|transform| x| y)="[^"]*"', picture)))
    assert not re.search(r"#[0-9a-f]{6}\b", "".join(pictures)), "a colour that does not follow the page"
    text = " ".join(" ".join(whole.said).split())
    for arm in record.plan.claim.arms:
        assert " ".join(arm.name.split()) in text
    for outcome in record.verdict.outcomes:
        assert outcome.prediction.id in text
        assert outcome.word in text
        assert outcome.prediction.provenance in text
    assert record.plan.digest in text
    assert len(document.encode()) < 1_500_000
    return whole


def test_a_page_of_eight_seeds_and_four_arms_says_it_all(make: Make) -> None:
    record = make()
    text = " ".join(" ".join(checked(record).said).split())
    assert record.verdict.word == "reproduced"
    assert "rerope was better than plain by" in text
    assert "8 paired seeds" in text
    assert "paribus check rerope --profile laptop" in text
    assert "trained at 64" in text
    assert "苏剑林" in text
    assert "1.801 bits a byte" in text
    assert "None is needed: every comparison is between readers" in text
    assert text.count("adjusted 95 % interval") >= 5
    sections = re.findall(r'<section id="(\w+)"', page(record))
    assert sections == [
        "result",
        "predictions",
        "ranking",
        "training",
        "rates",
        "noise",
        "cost",
        "protocol",
        "raw",
        "sources",
    ]


def test_every_number_of_every_seed_stands_in_the_raw_table(make: Make) -> None:
    record = make(seeds=3)
    text = page(record)
    for arm in record.results.values():
        for metrics in arm.values():
            for value in metrics.values():
                assert f">{value:#.6g}<" in text
    for outcome in record.verdict.outcomes:
        for value in outcome.paired.values:
            assert f">{value:#.6g}<".replace("-", "−") in text


def test_equal_records_give_equal_bytes(make: Make) -> None:
    assert page(make(claim=records.two_trained())) == page(make(claim=records.two_trained()))


def test_the_files_are_written_into_the_run_folder(make: Make) -> None:
    record = make(seeds=2, profile="smoke")
    path = write_report(record)
    assert path == record.folder / "report.html"
    assert path.read_text(encoding="utf-8") == page(record)
    assert (record.folder / "report.md").read_text(encoding="utf-8").startswith("# Train short, read long")


def test_a_smoke_run_is_labelled(make: Make) -> None:
    text = " ".join(checked(make(seeds=2, profile="smoke")).said)
    assert "Smoke run." in text
    assert "undecided (smoke)" in text
    assert "too short for any verdict" in text


def test_a_single_seed_has_no_interval(make: Make) -> None:
    text = " ".join(checked(make(seeds=1)).said)
    assert "a single pair has no interval" in text
    assert "∞" not in text


def test_two_trainings_bring_noise_floor_and_rate_edges(make: Make) -> None:
    text = " ".join(checked(make(claim=records.two_trained(), name="activation", edges=("gelu",))).said)
    assert "gelu was trained a second time" in text
    assert "At the edge of the grid" in text
    assert "paribus compare activation.py" in text
    assert "noise floor (A/A)" in text


def test_one_rate_is_said_not_to_be_searched(make: Make) -> None:
    assert "Learning rate not searched here." in page(make(profile="smoke", seeds=2))


def test_a_measured_task_has_dots_and_no_training(make: Make) -> None:
    whole = checked(make(claim=records.measured(), name="faster", seeds=13))
    text = " ".join(whole.said)
    assert "13 paired replicates (unit: document)" in text
    assert "Nothing was trained" in text
    assert whole.tags["svg"] == 3 + 2 + 2  # metrics, predictions, rankings


def test_a_diverged_run_is_counted_and_told(make: Make) -> None:
    def capped(plan: Plan, arm: str, seed: int) -> dict[str, float]:
        found = records.plausible(plan, arm, seed)
        if (arm, seed) != ("gelu", 3):
            return found
        return {name: math.log(256) if name.startswith("loss") else 1 / 256 for name in found}

    gone = frozenset({("gelu", 3)})
    record = make(claim=records.two_trained(), values=capped, diverged=gone)
    worst = tuple(replace(t, dev_loss=math.log(256), diverged=t.learning_rate > 3e-3) for t in record.tried)
    text = " ".join(checked(replace(record, tried=worst)).said)
    assert "1 of 16 trainings diverged (gelu, seed 3)" in text
    assert "Diverged runs (gelu: 1)" in text


def test_equal_results_have_no_spread(make: Make) -> None:
    text = " ".join(checked(make(values=lambda plan, arm, seed: dict.fromkeys(plan.trained.metric.names(), 0.25))).said)
    assert "there was no difference between rerope and plain" in text


def test_extreme_values_are_drawn(make: Make) -> None:
    def wild(plan: Plan, arm: str, seed: int) -> dict[str, float]:
        size = 10.0 ** (3 * seed - 9)
        return {"seconds": size, "error": -size if arm == "plain" else 1e-12, "share": 1e15 + seed}

    checked(make(claim=records.measured(), seeds=7, values=wild))


def test_metrics_that_only_one_arm_has(make: Make) -> None:
    record = make(seeds=2)
    results = {arm: {seed: dict(one) for seed, one in runs.items()} for arm, runs in record.results.items()}
    results["rerope"][0]["steps to 90 %"] = 12.0
    for one in results["interpolation"].values():
        del one["loss@128"], one["accuracy@128"]
    del results["ntk-aware"][1]["loss@512"]
    text = " ".join(checked(replace(record, results=results)).said)
    assert "Steps to 90 %" in text


def test_missing_files_are_no_reason_to_fail(make: Make) -> None:
    record = make(claim=records.two_trained(), events=False)
    for path in record.folder.rglob("result.json"):
        path.unlink()
    bare = replace(record, measured={}, plan=replace(record.plan, manifest={}))
    text = " ".join(checked(bare).said)
    assert "holds no training events" in text
    assert "not known" in text


def test_a_held_verdict_says_why(make: Make) -> None:
    record = make(claim=records.two_trained())
    headline = record.verdict.headline
    held = replace(headline, noise=replace(headline.paired, values=tuple(0.1 + 0.001 * s for s in range(8))))
    noise = {held.prediction.id: held.noise}
    verdict = replace(record.verdict, outcomes=(held, *record.verdict.outcomes[1:]))
    text = " ".join(checked(replace(record, verdict=verdict, noise=noise)).said)
    assert "means held back" in text
    assert "holds the verdict at undecided" in text


NASTY = "<script>alert(1)</script> & \"'`]]>\x00 $x_1$ \\frac{ 苏剑林"


def nasty() -> Claim:
    plain, rerope = records.rerope.arm("plain").config, records.rerope.arm("rerope").config
    arms = [Arm("plain", plain), *[Arm(f"{NASTY} {i}", rerope, reads="plain") for i in range(9)]]
    given: dict[str, Any] = {"arm": arms[1].name, "provenance": "<b>blind</b>", "id": "<i>&one"}
    predicts = [replace(records.rerope.predicts[0], **given)]
    return replace(
        records.rerope,
        arms=arms,
        predicts=predicts,
        primary="<i>&one",
        profiles=records.profiles(),
        **dict.fromkeys(("title", "statement", "source", "notes"), NASTY),
    )


def test_nothing_that_a_claim_says_becomes_markup(make: Make) -> None:
    record = make(claim=nasty(), name="<u>nasty</u>", seeds=2)
    document = page(record)
    whole = Whole(document)
    assert not whole.tags["script"]
    assert not whole.tags["u"]
    assert not whole.tags["b"]
    assert "\x00" not in document
    assert "<script>alert(1)</script> & \"'`]]>\ufffd" in " ".join(whole.said)
    for picture in re.findall(r"<svg.*?</svg>", document, re.DOTALL):
        ET.fromstring(picture)


@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
def test_the_band_is_called_what_it_is(make: Make, seeds: int) -> None:
    text = " ".join(Whole(page(make(seeds=seeds))).said)
    t = f"95 % t interval of the mean over {seeds} seeds"
    assert (t in text) == (seeds >= 4)
    assert (f"smallest to largest of {seeds} seeds" in text) == (seeds < 4)


def test_an_interaction_is_told_in_words(make: Make) -> None:
    record = make(claim=records.square(), values=four_arms)
    said = " ".join("".join(checked(record).said).split())
    assert "gelu + key-norm was better than gelu and key-norm added up by" in said
    assert "with key-norm is better than without key-norm in accuracy at length 512" in said.replace("@", " at length ")
    assert "Twins of plain" in said
    paired = record.verdict.outcomes[1].paired
    losses = {arm: [m["accuracy@512"] for m in seeds.values()] for arm, seeds in record.results.items()}
    rows = zip(losses["plain"], losses["gelu"], losses["key-norm"], losses["gelu + key-norm"])
    assert paired.values == pytest.approx([(b + ab - one - a) / 2 for one, a, b, ab in rows], abs=1e-12)


def four_arms(plan: Plan, arm: str, seed: int) -> dict[str, float]:
    """Each change helps, and both together help by 0.3 more."""
    gain = 0.1 * ("gelu" in arm) + 0.2 * ("key" in arm) + 0.3 * ("+" in arm)
    found = records.plausible(plan, arm, seed)
    return {name: value + gain * (-1 if name.startswith("loss") else 0.1) for name, value in found.items()}


def test_all_arms_are_ranked_with_letters(make: Make) -> None:
    record = make(claim=records.square(), values=four_arms)
    (one, *_) = record.rankings
    assert [place.arm for place in one.places] == ["gelu + key-norm", "key-norm", "gelu", "plain"]
    told = record.verdict_json()["rankings"]
    assert [entry["metric"] for entry in told] == list(dict.fromkeys(p.metric for p in record.plan.predictions))
    text = " ".join("".join(checked(record).said).split())
    assert "share a chance of error of 5 %, which is apart from that of the predictions." in text
    assert "no two of" not in text
    whole = markdown(record)
    for place in one.places:
        assert re.search(rf"\| {re.escape(place.arm)} \| [\d.]+ \| {place.letters} \|", whole), place


def test_too_few_seeds_to_tell_any_two_arms_apart(make: Make) -> None:
    record = make(claim=records.square(), seeds=3)
    assert {place.letters for place in record.rankings[0].places} == {"a"}
    text = " ".join("".join(checked(record).said).split())
    assert "With 3 seeds no two of 4 arms can be told apart: 6 would be the fewest." in text
    assert "The means in loss at length 64, best first" in text


def test_what_is_not_ranked(make: Make) -> None:
    for record in (make(seeds=1), make(claim=records.two_trained()), make(profile="smoke")):
        assert record.rankings == ()
        assert "ranking" not in checked(record).ids
        assert "## Ranking" not in markdown(record)


def test_a_ranking_above_the_noise_floor_is_not_trusted(make: Make) -> None:
    record = make(claim=records.square(), values=four_arms)
    said = "trust none of these differences"
    assert said not in " ".join("".join(checked(record).said).split())
    outcomes = record.verdict.outcomes
    far = Paired(tuple(0.4 + 0.01 * i for i in range(8)))
    noisy = replace(record, verdict=replace(record.verdict, outcomes=(replace(outcomes[0], noise=far), *outcomes[1:])))
    assert said in " ".join("".join(checked(noisy).said).split())


def test_with_many_arms_the_page_opens_with_those_of_the_predictions(make: Make) -> None:
    record = make()
    claim = record.plan.claim
    named = {name for prediction in claim.predicts for name in prediction.contrast}
    document = page(record)
    first = re.findall(r'<svg[^>]*aria-label="([^"]*)"', document)[0]
    assert len(claim.arms) > len(named) > 1
    assert set(first.rpartition(" arms ")[2].split(", ")) == named
    assert f"{len(named)} of {len(claim.arms)} arms, those of the predictions" in document
    whole = next(label for label in re.findall(r'aria-label="(loss against[^"]*)"', document) if label != first)
    assert set(whole.rpartition(" arms ")[2].split(", ")) == {arm.name for arm in claim.arms}
