"""Write report.html and report.md into the run folder."""

from pathlib import Path

from paribus.lab.folder import write_whole
from paribus.lab.record import Record
from paribus.lab.report.markdown import markdown
from paribus.lab.report.page import page


def write_report(record: Record) -> Path:
    """The path of report.html."""
    write_whole(record.folder / "report.md", markdown(record))
    path = record.folder / "report.html"
    write_whole(path, page(record))
    return path
