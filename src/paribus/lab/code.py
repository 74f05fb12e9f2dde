"""The code that a cell runs besides this package: a user's own parts, models, metrics, tasks and measures.

Parts of the package are known by their `revision`. For the rest the code itself is hashed, with the user's own files
that it imports, so that an edited model never takes over the numbers of the one before; an installed package that it
imports is known by its version. A file's `claim = ...` does not count: what matters of it is in the digest of each
cell already, and a reworded statement trains nothing anew. That holds because whatever runs has a name at the top of a
file: a lambda or an inner function is made where it is used, perhaps in `claim = ...`, and is refused.
"""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

from paribus.core.config import part_name, require
from paribus.core.errors import ConfigError

Code = type | FunctionType

KNOWN_OTHERWISE = {"paribus", "torch"}  # by the revisions of parts and by the environment of a cell
INSTALLED = {"site-packages", "dist-packages"}


def foreign_code(*values: Any) -> dict[str, str]:
    """Name -> hash of the module's code, for every class and function in the values that is not the package's; then
    name -> hash of the files that these import, and name -> version of the installed packages."""
    used = {code for value in values for code in _inside(value) if not code.__module__.startswith("paribus.")}
    for code in used:
        check_named(code)
    found = {f"code of {_name(code)}": code_hash(code) for code in sorted(used, key=_name)}
    for code in used:
        path = Path(inspect.getfile(code))
        if INSTALLED.isdisjoint(path.parts):
            found |= _imported(path.resolve())
    return dict(sorted(found.items()))


def is_foreign(value: Any) -> bool:
    """Whether a class or function in a value is not the package's own."""
    return any(not code.__module__.startswith("paribus.") for code in _inside(value))


def check_named(code: Code) -> None:
    """Raise ConfigError unless the class or function is what its name at the top of its file stands for: only then does
    the code of that file, with the claim left out, tell it from every other one."""
    found: Any = sys.modules.get(code.__module__ or "")
    for word in code.__qualname__.split("."):
        found = getattr(found, word, None)
    require(
        found is code,
        f"{code.__qualname__} is not what its file knows by that name: expected a class or "
        "function at the top of a file. A lambda, an inner or a wrapped function may enclose numbers that are part of "
        "no digest, so its results could not be told from another one's: write `def name(...)` at the top of the "
        "file, and what varies as a field of a config",
    )


def code_hash(code: Any) -> str:
    """16 hexadecimal digits of the code of the module that defines a class, a function or a callable object."""
    defined = code if isinstance(code, (type, FunctionType)) else type(code)
    try:
        module = inspect.getmodule(defined)
        tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError) as error:
        raise ConfigError(
            f"the code of {_name(defined)} cannot be read ({error}), so its results could not be told from those of "
            "another version: define it in a file"
        ) from error
    return _hash(tree)


def _hash(tree: ast.Module) -> str:
    tree.body = [statement for statement in tree.body if not _is_prose(statement)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


@cache
def _imported(path: Path) -> dict[str, str]:
    """What a file of the user's imports, wherever in it and in what it imports, without importing anything."""
    found: dict[str, str] = {}
    seen, ahead = {path}, [path]
    while ahead:
        file = ahead.pop()
        for name, (top, where) in sorted(_imports(file).items()):
            if where is None or top in sys.stdlib_module_names or top in KNOWN_OTHERWISE:
                continue
            if not INSTALLED.isdisjoint(where.parts):
                found[f"package {top}"] = _version(top)
            elif where not in seen:
                seen.add(where)
                ahead.append(where)
                found[f"file {name}"] = _hash(ast.parse(where.read_text(encoding="utf-8")))
    return found


def _imports(path: Path) -> dict[str, tuple[str, Path | None]]:
    """Dotted name -> (its first word, its file), `a.b` for `from a import b` too, since b may be a module."""
    found: dict[str, tuple[str, Path | None]] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names, home = [one.name for one in node.names], None
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [base, *(f"{base}.{one.name}".lstrip(".") for one in node.names)]
            home = path.parents[node.level - 1] if node.level else None
        else:
            continue
        # Importing a.b runs a too.
        words = [name.split(".") for name in filter(None, names)]
        for top, *rest in (one[:end] for one in words for end in range(1, len(one) + 1)):
            name = ".".join((top, *rest))
            place = (home / top) if home is not None else _top(top)
            found["." * (home is not None) + name] = ("" if home is not None else top, _file(place, rest))
    return found


def _top(name: str) -> Path | None:
    """Where a package or module of one word lies, without its .py."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin.with_suffix("")


def _file(place: Path | None, rest: list[str]) -> Path | None:
    """The .py file of a module at a place, or of one inside it; none for what is no module."""
    if place is None:
        return None
    place = place.joinpath(*rest)
    inside, alone = place / "__init__.py", place.with_name(place.name + ".py")
    return next((file.resolve() for file in (inside, alone) if file.is_file()), None)


@cache
def _version(top: str) -> str:
    names = [top, *metadata.packages_distributions().get(top, [])]
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def _inside(value: Any) -> Iterator[Code]:
    if isinstance(value, (type, FunctionType)):
        yield value
    elif is_dataclass(value):
        yield type(value)
        for field in fields(value):
            yield from _inside(getattr(value, field.name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _inside(item)
    elif isinstance(value, dict):
        yield from _inside(list(value.values()))
    elif callable(value):
        yield type(value)


def _is_prose(statement: ast.stmt) -> bool:
    """A docstring, or the claim itself."""
    if isinstance(statement, ast.Assign):
        return [ast.unparse(target) for target in statement.targets] == ["claim"]
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _name(code: Code) -> str:
    return part_name(code) if isinstance(code, type) else code.__qualname__
