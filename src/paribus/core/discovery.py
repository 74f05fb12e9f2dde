"""Find the members of a family in its folder: no registry, no list to edit.

A family is a base class and the package that holds its members. Strings meet classes only here, when saved JSON
or a command line names a part.
"""

import importlib
import inspect
import pkgutil
import sys
from functools import cache
from typing import Any

from paribus.core.config import Part, part_name
from paribus.core.errors import ConfigError, nearest


def packages(base: type[Part]) -> tuple[str, ...]:
    """The packages that hold the members of a base."""
    if base.families:
        return base.families
    module = sys.modules[base.__module__]
    package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    return (package,) if package else ()  # a base declared in a user's own file has no folder


@cache
def _load(package: str) -> None:
    parent = importlib.import_module(package)
    for info in pkgutil.walk_packages(parent.__path__, package + "."):
        importlib.import_module(info.name)


def _subclasses(base: type) -> set[type]:
    direct: set[type] = set(base.__subclasses__())
    return direct.union(*(_subclasses(one) for one in direct)) if direct else direct


def members(base: type[Part]) -> list[type[Any]]:
    """Every final member of the family, sorted by name; importing their modules is the only side effect."""
    folders = packages(base)
    for package in folders:
        _load(package)
    inside = tuple(package + "." for package in folders)
    found = [
        cls
        for cls in {base} | _subclasses(base)
        if not inspect.isabstract(cls) and (cls.__module__ + ".").startswith(inside)
    ]
    return sorted(found, key=part_name)


def find(base: type[Part], name: str) -> type[Any]:
    """The member of that name, or an error with the nearest names."""
    if part_name(base) == name and not inspect.isabstract(base):
        return base
    known = {part_name(cls): cls for cls in members(base)}
    if name not in known:
        # A part of the user's own file is known once that file is imported.
        known |= {part_name(cls): cls for cls in _subclasses(base) if not inspect.isabstract(cls)}
    if name not in known:
        raise ConfigError(f"unknown {part_name(base)} {name!r}: {nearest(name, known)}")
    return known[name]
