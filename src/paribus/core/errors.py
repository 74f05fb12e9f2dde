"""One tree of errors.

ParibusError                 exit code 1: something failed that the user may not have caused
├── InputError               exit code 2: what came is not what is needed
│   ├── ConfigError          a part, a claim or a plan with an impossible or unknown value
│   ├── CorpusError          a corpus that cannot be read or is too small
│   ├── MissingExtra         an optional dependency that is not installed
│   └── RunFolderError       a run folder that is foreign, damaged, locked, or holds another plan
├── CellFailed               one cell could not be finished
└── Interrupted              exit code 130: Ctrl-C; all finished cells are kept

Every message says what came, what was expected and what to do.
"""

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import ClassVar


class ParibusError(Exception):
    exit_code: ClassVar[int] = 1


class InputError(ParibusError):
    exit_code = 2


class ConfigError(InputError):
    pass


class CorpusError(InputError):
    pass


class RunFolderError(InputError):
    pass


class MissingExtra(InputError):
    pass


class CellFailed(ParibusError):
    pass


class Interrupted(ParibusError):
    exit_code = 130


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an "unknown X" message: the nearest names, or all of them when none is near."""
    names = sorted(known)
    folded = {name.lower(): name for name in names}
    close = [folded[name] for name in difflib.get_close_matches(word.lower(), folded, n=3, cutoff=0.5)]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names) or '(none)'}"


def optional(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"this needs the package {module!r}, which is not installed; "
            f"install it with: pip install 'paribus[{extra}]'"
        ) from error
