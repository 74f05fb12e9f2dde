"""The page: one file without scripts, fonts or anything else from elsewhere."""

from pathlib import Path

from paribus.lab.record import Record
from paribus.lab.report.markup import Html, join, tag
from paribus.lab.report.palette import DARK, LIGHT, variables
from paribus.lab.report.sections.cost import cost
from paribus.lab.report.sections.headline import title, verdict
from paribus.lab.report.sections.noise import noise
from paribus.lab.report.sections.pictures import first_picture, pictures
from paribus.lab.report.sections.predictions import predictions
from paribus.lab.report.sections.protocol import protocol
from paribus.lab.report.sections.ranking import ranking
from paribus.lab.report.sections.raw import raw, references
from paribus.lab.report.sections.training import learning_rates, training
from paribus.lab.report.sections.trend import trends

# Nothing may be loaded, whatever a claim's text tries.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(record: Record) -> str:
    plan = record.plan
    opening = (title, first_picture, verdict)
    parts = (
        *opening,
        pictures,
        predictions,
        ranking,
        trends,
        training,
        learning_rates,
        noise,
        cost,
        protocol,
        raw,
        references,
    )
    body = join([part(record) for part in parts], "\n")
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
            Html('<meta name="color-scheme" content="light dark">'),
            tag("title", f"{record.verdict.word}: {plan.claim.title or plan.name}"),
            Html(f"<style>{style()}</style>"),
        ],
        "\n",
    )
    ending = tag("footer", f"paribus · {plan.name} · {plan.profile_name} · plan {plan.digest[:16]}")
    document = tag("html", tag("head", head), "\n", tag("body", tag("main", body), "\n", ending), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def style() -> str:
    sheet = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    dark = f"@media (prefers-color-scheme: dark){{:root{{{variables(DARK)}}}}}"
    return f":root{{{variables(LIGHT)}}}{dark}\n{sheet}"
