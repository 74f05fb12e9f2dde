"""Title and statement above the first picture, the verdict below it: what a stranger reads first."""

from paribus.lab.record import Record
from paribus.lab.report import words
from paribus.lab.report.markup import Html, join, tag


def title(record: Record) -> Html:
    plan = record.plan
    smoke = (
        tag(
            "p",
            tag("strong", "Smoke run."),
            " It trains for a moment to show that everything works. ",
            "Nothing below is evidence for or against the claim.",
            class_="warning",
        )
        if plan.smoke
        else ""
    )
    return tag(
        "header",
        tag(
            "p",
            f"paribus report · {plan.name}, version {plan.claim.version} · profile {plan.profile_name}",
            class_="over",
        ),
        tag("h1", plan.claim.title or plan.name),
        tag("p", plan.claim.statement, class_="statement"),
        smoke,
    )


def verdict(record: Record) -> Html:
    outcome = record.verdict.headline
    shown = words.of(record, outcome)
    gone = words.diverged(record)
    warning = tag("p", tag("strong", "Diverged. "), gone, class_="warning") if gone else ""
    box = tag(
        "div",
        tag("p", tag("span", "Verdict", class_="over"), " ", tag("strong", record.verdict.word), class_="word"),
        tag("p", words.result(record, outcome), class_="result"),
        tag("p", join(["The prediction: ", tag("em", shown.sentence(outcome.prediction)), ". "])),
        tag("p", words.meaning(outcome, shown, record.plan.smoke)),
        class_=f"verdict {words.kind(outcome)}",
        id_="verdict",
    )
    return join([warning, box])
