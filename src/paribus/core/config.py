"""Parts are frozen dataclasses that are their own configuration: canonical JSON, digest, strict reading.

A part without parameters (a mask, a scale, a schedule) is used as it is; a part with parameters is the nested
`Config` of an `nn.Module`. Both are saved as `{"part": NAME, field: value, ...}`, where NAME is the class name
(for a nested `Config`, its owner's) and is resolved, when read back, in the family of the field that holds it.
"""

import collections.abc
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, ClassVar, Union, dataclass_transform, get_args, get_origin

from paribus.core.errors import ConfigError, nearest

# A file that a user names by its path is a module of a name that begins so. Where it lies is no part of a
# configuration: its code is hashed instead (lab/code.py).
USER_MODULE = "paribus_user_"


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Part:
    """Base of every part. Declaring a subclass makes it a frozen dataclass (keyword-only unless kw_only=False).

    source: where the method comes from (author, title, year, arXiv number), for a report's bibliography.
    revision: raised when a change of the code changes results, so that old cells are never reused.
    examples: instances for the family's contract test; a member without one fails it.
    families: packages that hold the members of this base; by default the package of the base itself.
    """

    source: ClassVar[str]
    revision: ClassVar[int] = 1
    examples: ClassVar[tuple[Any, ...]] = ()
    families: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, kw_only: bool = True, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        dataclass(frozen=True, kw_only=kw_only)(cls)

    def __post_init__(self) -> None:
        for name, hint in hints(self.__class__).items():
            object.__setattr__(self, name, _coerce(getattr(self, name), hint, f"{part_name(type(self))}.{name}"))
        self.check()

    def check(self) -> None:
        """Raise ConfigError for values that make no sense together. Overridden by members that need it."""

    def build(self) -> Any:
        """The callable that does the work: the part itself when it has no parameters."""
        return self


def part_name(cls: type) -> str:
    """`Rotary` for the class Rotary, `GroupedQuery` for its nested GroupedQuery.Config."""
    return cls.__qualname__.removesuffix(".Config").rsplit(".", 1)[-1]


_HINTS: dict[type, dict[str, Any]] = {}  # resolved once per class, since resolving is slow


def hints(cls: type[Any]) -> dict[str, Any]:
    """Field name -> resolved type, for the fields of a dataclass."""
    if cls not in _HINTS:
        resolved = typing.get_type_hints(cls)
        _HINTS[cls] = {field.name: resolved[field.name] for field in fields(cls)}
    return _HINTS[cls]


def require(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless the condition holds: what came, what was expected, what to do."""
    if not condition:
        raise ConfigError(message)


def _coerce(value: Any, hint: Any, where: str) -> Any:
    """Check a field's value against its type; integers become floats, lists become tuples."""
    if hint is Any or isinstance(hint, typing.TypeVar):
        return value
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        problems = []
        for option in get_args(hint):
            try:
                return _coerce(value, option, where)
            except ConfigError as error:
                problems.append(error)
        raise ConfigError(f"{where} = {value!r}: expected {_spell(hint)}") from problems[0]
    if origin in (tuple, collections.abc.Sequence):
        inner = get_args(hint) if origin is tuple else (get_args(hint)[0], Ellipsis)
        if not isinstance(value, (tuple, list, range)):
            raise ConfigError(f"{where} = {value!r}: expected a tuple")
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_coerce(item, inner[0], f"{where}[{i}]") for i, item in enumerate(value))
        if len(inner) != len(value):
            raise ConfigError(f"{where} = {value!r}: expected {len(inner)} values")
        return tuple(_coerce(item, one, f"{where}[{i}]") for i, (item, one) in enumerate(zip(value, inner)))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} = {value!r}: expected a dict")
        key_hint, value_hint = get_args(hint)
        return {_coerce(k, key_hint, where): _coerce(v, value_hint, f"{where}[{k!r}]") for k, v in value.items()}
    if origin is not None:  # Callable[...], Literal[...]
        if origin is typing.Literal and value not in get_args(hint):
            raise ConfigError(f"{where} = {value!r}: expected one of {', '.join(map(repr, get_args(hint)))}")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is None:
        hint = type(None)
    if isinstance(hint, type):
        wrong = not isinstance(value, hint) or (hint is int and isinstance(value, bool))
        if wrong:
            raise ConfigError(f"{where} = {value!r}: expected {_spell(hint)}")
    return value


def _spell(hint: Any) -> str:
    if isinstance(hint, type):
        return f"a part of the kind {part_name(hint)}" if issubclass(hint, Part) else hint.__name__
    return str(hint).replace("typing.", "")


def to_dict(value: Any) -> Any:
    """Plain JSON data for a part, and for tuples, dicts, numbers and strings of parts."""
    if is_dataclass(value) and not isinstance(value, type):
        own = {field.name: to_dict(getattr(value, field.name)) for field in fields(value)}
        return {"part": part_name(type(value)), **own}
    if isinstance(value, (list, tuple)):
        return [to_dict(item) for item in value]
    if isinstance(value, range):
        return list(value)
    if isinstance(value, dict):
        return {str(key): to_dict(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{value!r} has no JSON form: configurations hold finite numbers only")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (type, types.FunctionType)):
        module = value.__module__ or ""
        return f"{'' if module.startswith(USER_MODULE) else module}:{value.__qualname__}"
    raise ConfigError(f"{type(value).__name__} {value!r} has no JSON form: pass a part, a number, a string or a tuple")


def canonical_json(value: Any) -> str:
    """One spelling for equal values: sorted keys, no spaces, UTF-8."""
    return json.dumps(to_dict(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def from_dict(hint: Any, data: Any, where: str = "") -> Any:
    """Read back what `to_dict` wrote, for a field of type `hint`; unknown fields and parts are errors."""
    where = where or _spell(hint)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in get_args(hint):
            return None
        options = [option for option in get_args(hint) if option is not type(None)]
        problems = []
        for option in options:
            try:
                return from_dict(option, data, where)
            except ConfigError as error:
                problems.append(error)
        raise problems[0]
    if origin in (tuple, collections.abc.Sequence):
        if not isinstance(data, list):
            raise ConfigError(f"{where}: expected a list, got {data!r}")
        inner = get_args(hint)
        alike = origin is not tuple or inner[-1] is Ellipsis
        each = [inner[0]] * len(data) if alike else list(inner)
        if len(each) != len(data):
            raise ConfigError(f"{where} = {data!r}: expected {len(each)} values")
        return _coerce([from_dict(one, item, where) for one, item in zip(each, data)], hint, where)
    if isinstance(hint, type) and issubclass(hint, Part):
        return _part_from_dict(hint, data, where)
    return _coerce(data, hint, where)


def _part_from_dict(base: type[Part], data: Any, where: str) -> Any:
    from paribus.core.discovery import find

    if not isinstance(data, dict) or "part" not in data:
        raise ConfigError(f'{where}: expected an object with a "part" name, got {data!r}')
    cls = find(base, data["part"])
    known = hints(cls)
    given = {key: value for key, value in data.items() if key != "part"}
    for key in given:
        if key not in known:
            raise ConfigError(f"{where}: {data['part']} has no field {key!r}; {nearest(key, known)}")
    needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    missing = [name for name in needed if name not in given]
    if missing:
        raise ConfigError(f"{where}: {data['part']} needs {', '.join(missing)}")
    return cls(**{key: from_dict(known[key], value, f"{where}.{key}") for key, value in given.items()})


def walk(value: Any) -> Iterator[Part]:
    """The part itself and every part inside it, outermost first."""
    if isinstance(value, Part):
        yield value
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from walk(getattr(value, field.name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from walk(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from walk(item)


def revisions(value: Any) -> dict[str, int]:
    """Name -> revision of every part used: what makes a cell stale when code changes."""
    return dict(sorted({part_name(type(part)): part.revision for part in walk(value)}.items()))


def bibliography(value: Any) -> list[tuple[str, str]]:
    """(part, source) of every part used that cites one, each once, in order of appearance."""
    found: dict[str, str] = {}
    for part in walk(value):
        source = getattr(part, "source", "")
        if source:
            found.setdefault(part_name(type(part)), source)
    return list(found.items())
