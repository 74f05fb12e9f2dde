"""The code that a cell runs besides this package: a user's own parts, models and measures.

Parts of the package are known by their `revision`. For the rest the code itself is hashed, so that an edited model
never takes over the numbers of the one before. A file's `claim = ...` does not count: what matters of it is in the
digest of each cell already, and a reworded statement trains nothing anew.
"""

import ast
import hashlib
import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import Any

from paribus.core.config import part_name
from paribus.core.errors import ConfigError

Code = type | FunctionType


def foreign_code(*values: Any) -> dict[str, str]:
    """Name -> hash of the module's code, for every class and function in the values that is not the package's."""
    used = {code for value in values for code in _inside(value) if not code.__module__.startswith("paribus.")}
    return {f"code of {_name(code)}": code_hash(code) for code in sorted(used, key=_name)}


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
    tree.body = [statement for statement in tree.body if not _is_prose(statement)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


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
