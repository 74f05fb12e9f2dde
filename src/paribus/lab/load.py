"""Find a claim by name or file, and say clearly what is wrong with a user's file."""

import importlib
import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from paribus.core.config import USER_MODULE, Part, hints, part_name
from paribus.core.errors import ConfigError, InputError, nearest
from paribus.lab.claim import Claim, defined_in
from paribus.lab.index import claim_files


def load(word: str) -> tuple[str, Claim]:
    """A claim of the library by name, or a user's own by the path of its file: (name, claim)."""
    if word.endswith(".py") or "/" in word:
        path = Path(word)
        return path.stem.replace("_", "-"), defined_in(import_file(path))
    files = claim_files()
    if word not in files:
        raise InputError(f"unknown claim {word!r}: {nearest(word, files)} (`paribus claims` lists them)")
    relative = files[word].relative_to(Path(__file__).parent.parent).with_suffix("")
    return word, defined_in(importlib.import_module(".".join(("paribus", *relative.parts))))


def import_file(path: Path) -> ModuleType:
    """Import a user's file under a name of its own; what fails in it is an InputError that shows the line.

    Like a script, it may import the files beside it.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}: give a claim's name (paribus claims) or the path of a .py file")
    name = USER_MODULE + re.sub(r"\W", "_", str(path.resolve()))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    beside = str(path.resolve().parent)
    if beside not in sys.path:
        sys.path.append(beside)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"{_place(error, path)}: {_explain(error)}") from error
    return module


def _place(error: BaseException, path: Path) -> str:
    """The user's own file and line in which it failed."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    inside = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}:{inside[-1].lineno}" if inside else str(path)


def _explain(error: BaseException) -> str:
    """An unknown field of a part names the fields that it has; every other error speaks for itself."""
    if isinstance(error, ConfigError):
        return str(error)
    unknown = re.match(r"(\S+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if unknown:
        for cls in _parts(Part):
            if cls.__qualname__ == unknown[1]:
                field = unknown[2]
                return f"{part_name(cls)} has no field {field!r}; {nearest(field, hints(cls))}"
    return f"{type(error).__name__}: {error}"


def _parts(cls: type[Part]) -> list[type[Part]]:
    return [one for sub in cls.__subclasses__() for one in (sub, *_parts(sub))]
