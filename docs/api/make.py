"""Write the tables of members in the pages beside this file anew: python docs/api/make.py

A table stands between `<!-- members: PACKAGE -->` and `<!-- end -->`. What is said of a member is the first sentence of
its docstring, or of its file where it has none.
"""

import importlib
import inspect
import pkgutil
import re
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from paribus.core.config import Part, part_name

TABLE = re.compile(r"(<!-- members: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def members(package: str) -> list[type[Any]]:
    """The parts in the files of a folder, not in folders below it, by their names."""
    folder = importlib.import_module(package)
    for info in pkgutil.iter_modules(folder.__path__, package + "."):
        importlib.import_module(info.name)

    def below(cls: type[Part]) -> set[type[Part]]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    inside = [cls for cls in below(Part) if cls.__module__.rpartition(".")[0] == package]
    return sorted((cls for cls in inside if not inspect.isabstract(cls)), key=lambda cls: part_name(cls).lower())


def row(cls: type[Any]) -> str:
    """| `module.Name` | `field=default` ... | what it is |"""
    given = " ".join(f"`{field.name}{_default(field)}`" for field in fields(cls))
    return f"| `{cls.__module__}.{cls.__qualname__}` | {given} | {summary(cls).replace('|', chr(92) + '|')} |"


def summary(cls: type[Any]) -> str:
    own = cls.__doc__ or ""
    if own.startswith(f"{cls.__name__}(") or not own.strip():  # the one that dataclass writes
        own = sys.modules[cls.__module__].__doc__ or ""
    sentence = re.split(r"(?<=[^.]\.)\s|\n\s*\n|:\s*\n", " ".join(own.strip().split("\n\n")[0].split()))[0]
    return sentence.rstrip(":")


def _default(field: Any) -> str:
    value = field.default
    if value is MISSING:
        return "" if field.default_factory is MISSING else "={}"
    shown = part_name(type(value)) + "()" if isinstance(value, Part) else repr(value)
    return f"={shown}"


def table(package: str) -> str:
    rows = [row(cls) for cls in members(package)]
    return "\n".join(["| part | fields | what it is |", "|---|---|---|", *rows]) + "\n"


def main() -> None:
    for page in sorted(Path(__file__).parent.glob("*.md")):
        old = page.read_text(encoding="utf-8")
        page.write_text(TABLE.sub(lambda found: found[1] + table(found[2]) + found[3], old), encoding="utf-8")


if __name__ == "__main__":
    main()
