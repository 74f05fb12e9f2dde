"""What the commands of `paribus theory` are given: numbers as words, vectors and tables in files."""

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from paribus.core.errors import ConfigError


def length_of(word: str) -> int:
    units = {"k": 1 << 10, "m": 1 << 20}
    digits, unit = (word[:-1], units[word[-1].lower()]) if word[-1:].lower() in units else (word, 1)
    if not digits.isdecimal():
        raise ConfigError(f"length {word!r}: expected a whole number, as 4096, 32k or 1M")
    return int(digits) * unit


def integers(words: Sequence[str]) -> list[int]:
    """Of any size: each word is one, or names a file of them (- is stdin)."""
    found = []
    for word in words:
        if _integer(word) is not None or not (word == "-" or Path(word).is_file()):
            inside, where = [word], ""
        else:
            inside, where = _read(word).replace(",", " ").split(), f"{word}: "
            if not inside:
                raise ConfigError(f"{word}: no numbers; expected non-negative integers")
        for each in inside:
            value = _integer(each)
            if value is None:
                raise ConfigError(f"{where}{each!r}: expected a non-negative integer, as 130, or a file of them")
            found.append(value)
    return found


def _integer(word: str) -> int | None:
    try:
        return int(word)
    except ValueError:
        return None


def vectors(words: Sequence[str]) -> list[tuple[str, list[list[float]]]]:
    """(name, rows) of each file; or, where all words are numbers, the one row that they are."""
    try:
        return [("arguments", [[float(word) for word in words]])]
    except ValueError:
        return [(word, read_rows(word)) for word in words]


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; give a file that can be read, or - for stdin") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: no UTF-8 text; expected .npy, .json, or lines of numbers") from error


def read_rows(file: str) -> list[list[float]]:
    """Rows of numbers, of any lengths."""
    if file.endswith(".npy"):
        try:
            array = np.load(file, allow_pickle=False)
            rows = [[float(v) for v in row] for row in array.reshape(-1, array.shape[-1] if array.ndim else 1)]
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{file}: no array of numbers ({error})") from error
    elif file.endswith(".json"):
        try:
            value = json.loads(_read(file))
            rows = [[float(v) for v in row] for row in (value if value and isinstance(value[0], list) else [value])]
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigError(f"{file}: expected a list of numbers, or a list of such lists ({error})") from error
    else:
        lines = [line.replace(",", " ").split() for line in _read(file).splitlines()]
        rows = [as_numbers(words, f"{file}, line {i}") for i, words in enumerate(lines, 1) if words]
    if not rows:
        raise ConfigError(f"{file}: no numbers; expected one vector a line")
    return rows


def read_columns(file: str) -> dict[str, list[str]]:
    lines = [line for line in csv.reader(_read(file).splitlines()) if line]
    if len(lines) < 2:
        raise ConfigError(f"{file}: expected a header line and one run a line, as loss,N,D")
    header = [name.strip() for name in lines[0]]
    if twice := [name for name in header if header.count(name) > 1]:
        raise ConfigError(f"{file}: two columns are named {twice[0]!r}; expected names that differ")
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise ConfigError(f"{file}, line {number}: {len(line)} cells, expected {len(header)} as in the header")
    return {name: [line[i].strip() for line in lines[1:]] for i, name in enumerate(header)}


def as_numbers(words: Sequence[str], where: str) -> list[float]:
    found = []
    for word in words:
        try:
            found.append(float(word))
        except ValueError:
            raise ConfigError(f"{where}: {word!r} is no number") from None
    return found
