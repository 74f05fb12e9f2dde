"""Every block of code in docs/ and in the README runs.

In one page, `python` blocks share their names, from top to bottom, in an empty folder. A comment above a block says
what else is to be done with it:

    <!-- file: NAME -->      written to that file, not run by itself
    <!-- run -->             a console block: its lines that begin with $ are run, and must give a verdict or succeed
    <!-- needs: MODULE -->   left out where the module is not installed
    <!-- fragment -->        read only, as it is no whole program
    <!-- before              what a reader has already and the page need not show, up to -->, is run
"""

import ast
import dataclasses
import importlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])

VERDICTS = (0, 10, 11, 12)


class Block(NamedTuple):
    line: int
    language: str
    marks: dict[str, str]
    text: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page with the comments directly above them."""
    found, marks = [], {}
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if line.strip() == "<!-- before":
            body = []
            for _, inside in lines:
                if inside.strip() == "-->":
                    break
                body.append(inside)
            found.append(Block(number, "python", {}, "\n".join(body) + "\n"))
            continue
        if mark := re.fullmatch(r"<!-- (file|run|needs|fragment)(?:: (\S+))? -->", line.strip()):
            marks[mark[1]] = mark[2] or ""
            continue
        if line.startswith("```"):
            body = []
            for _, inside in lines:
                if inside.startswith("```"):
                    break
                body.append(inside)
            found.append(Block(number, line[3:].strip(), marks, "\n".join(body) + "\n"))
        if line.strip():
            marks = {}
    return found


def absent(block: Block) -> bool:
    return "needs" in block.marks and importlib.util.find_spec(block.marks["needs"]) is None


def test_the_reading_of_a_page():
    page = "a\n<!-- file: x.py -->\n<!-- needs: torch -->\n```python\nx = 1\n```\n\n```console\n$ ls\n```\n"
    page += "<!-- before\ny = 2\n-->\n"
    first, second, third = blocks(page)
    assert first == Block(4, "python", {"file": "x.py", "needs": "torch"}, "x = 1\n")
    assert second == Block(8, "console", {}, "$ ls\n")
    assert third == Block(11, "python", {}, "y = 2\n")
    assert absent(Block(1, "python", {"needs": "no_such_module"}, ""))
    assert not absent(first)


WITH_CODE = [page for page in PAGES if any(block.language == "python" for block in blocks(page.read_text("utf-8")))]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_runs(page, paribus_command, monkeypatch):
    module = ModuleType("docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # what a page defines has a name at the top of a file
    scope = module.__dict__
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if absent(block):
            continue
        if block.language == "python":
            code = compile(ast.parse(block.text), where, "exec")
            if "file" in block.marks:
                Path(block.marks["file"]).write_text(block.text, encoding="utf-8")
            elif "fragment" not in block.marks:
                exec(code, scope)
        elif "run" in block.marks:
            for line in block.text.splitlines():
                if line.startswith("$ paribus "):
                    said = paribus_command(*shlex.split(line.partition("#")[0])[2:])
                    assert said.code in VERDICTS, f"{where}: {line}\n{said.err or said.out}"


NAME = re.compile(r"`(paribus(?:\.\w+)+)`")


def thing(dotted):
    """The module, class or attribute of a dotted name; AttributeError or ImportError where there is none."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for name in parts[end:]:
            found = getattr(found, name)
        return found
    raise ImportError(dotted)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_everything_named_exists(page):
    """Modules, classes and functions by their dotted names, fields of the parts in tables, and files in links."""
    text = page.read_text(encoding="utf-8")
    for name in NAME.findall(text):
        thing(name)
    for line in text.splitlines():
        if part := re.match(r"\| `(paribus[\w.]+)` \| ((?:`\w+[^`]*` ?)+)\|", line):
            known = {field.name for field in dataclasses.fields(thing(part[1]))}
            given = {field.partition("=")[0] for field in re.findall(r"`([^`]*)`", part[2])}
            assert given == known, f"{part[1]}: python docs/api/make.py writes the tables anew"
    for link in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_a_name_that_is_gone_is_seen():
    assert thing("paribus.normalizers.softmax.Softmax").__name__ == "Softmax"
    with pytest.raises(AttributeError):
        thing("paribus.normalizers.softmax.Softmacks")
