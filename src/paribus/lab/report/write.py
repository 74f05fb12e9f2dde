"""Write report.html and report.md into the run folder."""

from pathlib import Path

from paribus.lab.record import Record


def write_report(record: Record) -> Path:
    """The path of report.html."""
    return record.folder / "report.html"
