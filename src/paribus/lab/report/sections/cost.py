"""What the run cost, and on what."""

import re
from collections.abc import Mapping
from typing import Any

from paribus.lab.record import Record
from paribus.lab.report.markup import Html, facts, section, table
from paribus.lab.report.quantity import clock, sized
from paribus.lab.report.spent import phases, processor_hours


def cost(record: Record) -> Html:
    rows = [
        [
            phase.name,
            f"{phase.cells:,}",
            "–" if phase.flops is None else sized(phase.flops, "FLOP"),
            "not known" if phase.seconds is None else clock(phase.seconds),
            "not known" if phase.seconds is None else processor_hours(record, phase.seconds),
        ]
        for phase in phases(record)
    ]
    by_phase = table(["phase", "cells", "compute", "time of its cells", "hours"], rows, "Cost by phase")
    return section("Cost", by_phase, facts(cost_facts(record)), id_="cost")


def cost_facts(record: Record) -> list[tuple[object, object]]:
    """Names and values, as far as they were measured."""
    measured = record.measured
    rows: list[tuple[object, object]] = []
    if (seconds := measured.get("seconds")) is not None:
        found = measured.get("cells_found") or 0
        more = f"; {found} finished cells were found and not computed again" if found else ""
        rows.append(("wall clock of this run", f"{clock(seconds)}{more}"))
    known = [phase.seconds for phase in phases(record)]
    if known and None not in known:
        total = sum(seconds for seconds in known if seconds is not None)
        rows.append(("all cells, one after the other", f"{clock(total)} = {processor_hours(record, total)}"))
    flops = [phase.flops for phase in phases(record) if phase.flops is not None]
    if flops:
        rows.append(("compute of all cells", f"{sized(sum(flops), 'FLOP')} (matmuls and scans, all pairs counted)"))
    if (overhead := measured.get("overhead")) is not None:
        told = "of a training's time outside forward, backward and optimizer (median)"
        rows.append(("the lab's own overhead", f"{100 * overhead:.2f} % {told}"))
    if largest := measured.get("largest_worker_bytes"):
        rows.append(("memory of the largest worker", f"{largest / 2**30:.2f} GiB"))
    environment = record.plan.environment
    rows.append(
        ("computed on", f"{environment.device}, {environment.threads} thread{'s' * (environment.threads > 1)} a cell")
    )
    machine = measured.get("machine")
    if isinstance(machine, dict):
        units = {"memory_gib": "memory, GiB"}
        rows += [(units.get(name, name), value) for name, value in machine.items()]
    rows += attention_facts(measured.get("programs") or [])
    if finished := measured.get("finished"):
        rows.append(("finished", finished))
    return rows


def attention_facts(programs: list[Mapping[str, Any]]) -> list[tuple[object, object]]:
    """By what programs attention was computed, and why: a line a shape of the trainings, a line for all readings.

    programs: `measured.programs` of verdict.json.
    """
    by_shape: dict[str, list[str]] = {}
    read: dict[str, set[int]] = {}  # reason -> lengths
    for one in programs:
        if one["kind"] == "train":
            by_shape.setdefault(one["shape"], []).append(f"{one['why']} ({', '.join(one['arms'])})")
        elif length := re.search(r"length to (\d+)", one["shape"]):
            read.setdefault(one["why"], set()).add(int(length[1]))
    rows: list[tuple[object, object]] = [
        ("attention in training", f"{shape}: {'; '.join(reasons)}") for shape, reasons in by_shape.items()
    ]
    if read:
        told = [f"{why} (length to {', '.join(map(str, sorted(lengths)))})" for why, lengths in read.items()]
        rows.append(("attention in reading", "; ".join(told)))
    return rows
