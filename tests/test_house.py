"""The house keeps its rules: floors, rooms in the README, file length, sources, imports that do nothing."""

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter import cli as import_linter

import paribus
from paribus.core.config import Part, part_name

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "paribus"
FILES = sorted(SOURCE.rglob("*.py"))
ROOMS = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))

LONGEST = 400
LONGER_FILES: dict[str, str] = {}  # path below src/paribus -> why it may be longer

# Parts that are no method from the literature: name -> why they have no source.
NO_SOURCE = {
    "Text": "a corpus and a tokenizer, which have their own",
    "Alternating": "an order of sources, which have their own",
    "Answers": "right answers, counted",
    "Together": "metrics, which have their own",
    "Bytes": "the bytes themselves",
    "Within": "ids that stand for no token, left out",
    "Folder": "whatever the user's files are",
    "TokenMean": "an average",
    "SequenceMean": "an average",
    "SequenceSum": "an average",
    "Recipe": "an optimizer and a schedule, which have their own",
    "AnyModule": "whatever the user's module is",
    "Settings": "the numbers of a trained tokenizer, which has its own",
    "Trained": "a form of the laboratory",
    "Measured": "a form of the laboratory",
    "Budget": "a form of the laboratory",
    "Profile": "a form of the laboratory",
    "Read": "how a claim reads a checkpoint: its map and scaling have their own",
}
# Parts that no contract test builds from examples: name -> why.
NO_EXAMPLES = {
    "Trained": "the one form of a trained task: tested with the claims",
    "Measured": "holds a function: tested with the claims",
    "Budget": "one number",
    "Profile": "tested with the claims",
    "Read": "tested with the claims",
    "AnyModule": "holds a class or function: tests/models/test_any_module.py",
    "DecoderLM": "tests/models builds one around every example of a mixer, a norm and a feed-forward network",
    "Settings": "tested with the trainer",
}


def parts() -> list[type[Part]]:
    """Every concrete part of the package, but for what the command line notes down of its own jobs."""
    for info in pkgutil.walk_packages(paribus.__path__, "paribus."):
        importlib.import_module(info.name)

    def below(cls: type[Part]) -> set[type[Part]]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    rooms = tuple(f"paribus.{room}." for room in ROOMS if room != "cli")
    found = {cls for cls in below(Part) - {Part} if not inspect.isabstract(cls) and cls.__module__.startswith(rooms)}
    return sorted(found, key=lambda cls: (cls.__module__, part_name(cls)))


def python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT)


def test_floors_and_rooms_without_torch(capsys):
    """The contracts stand in pyproject.toml."""
    code = import_linter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert code == 0, capsys.readouterr().out


NO_TORCH = """
import importlib, pkgutil, sys
import paribus
for room in ("core", "text", "theory", "tokenizer"):
    package = importlib.import_module("paribus." + room)
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(info.name)
from paribus import Tokenizer
assert Tokenizer.__module__.startswith("paribus.tokenizer.")
assert "torch" not in sys.modules
"""


def test_light_rooms_load_no_torch():
    done = python(NO_TORCH)
    assert done.returncode == 0, done.stderr


def rooms_of_the_readme(text: str) -> list[str]:
    """The first words of the lines just below `src/paribus/` in a code block."""
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        # Drawn branches count as the spaces that they stand for.
        lines = [re.sub("[│├└─]", " ", line) for line in block.splitlines()]
        starts = [i for i, line in enumerate(lines) if line.strip().startswith("src/paribus/")]
        if not starts:
            continue
        depths = [(len(line) - len(line.lstrip()), line.split()) for line in lines[starts[0] :] if line.strip()]
        home = depths[0][0]
        inside = []
        for depth, words in depths[1:]:
            if depth <= home:
                break
            inside.append((depth, words[0]))
        rooms = min(depth for depth, _ in inside)
        return [word.rstrip("/") for depth, word in inside if depth == rooms and word.endswith("/")]
    return []


def test_the_reading_of_a_tree():
    text = "# x\n```\nnative/  C++\nsrc/paribus/\n  core/  config\n  text/  readers\n    more/ x\ntests/  y\n```\n"
    assert rooms_of_the_readme(text) == ["core", "text"]
    drawn = "```text\nsrc/paribus/\n├── core/  config\n└── text/  readers\n```\n"
    assert rooms_of_the_readme(drawn) == ["core", "text"]


def test_the_readme_lists_every_room():
    listed = rooms_of_the_readme((ROOT / "README.md").read_text(encoding="utf-8"))
    assert listed, "README.md has no code block with a line that starts with src/paribus/ and the rooms below it"
    assert len(listed) == len(set(listed))
    assert sorted(listed) == ROOMS, "the README's tree and the folders of src/paribus differ"


def test_files_are_short():
    lengths = {str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    for name, why in LONGER_FILES.items():
        print(f"{name}: {lengths[name]} lines, {why}")  # noqa: T201
    assert {name: n for name, n in lengths.items() if n > LONGEST and name not in LONGER_FILES} == {}
    assert all(lengths.get(name, 0) > LONGEST for name in LONGER_FILES), "an exception that is not needed any more"


BANNED = {
    r"^from __future__ import annotations": "it hides types from the checks at run time",
    r"^\s*(import|from) (pickle|cloudpickle|dill)\b": "files from elsewhere must not run code",
    r"\b(TODO|FIXME|XXX)\b": "open work belongs to an issue",
    r"^\s*from \S+ import \*": "names must be findable",
}


@pytest.mark.parametrize("pattern", BANNED)
def test_banned_words(pattern):
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == [], BANNED[pattern]


def test_members_do_not_import_one_another():
    allowed = {
        "attention/masks/combine.py": "its examples combine other masks",
        "evaluation/together.py": "its example puts other metrics together",
    }
    homes = {Path(inspect.getfile(cls)) for cls in parts()}
    for path in sorted(homes):
        if not (path.parent / "base.py").exists() or str(path.relative_to(SOURCE)) in allowed:
            continue
        beside = {other.stem for other in homes if other.parent == path.parent} - {path.stem}
        package = ".".join(("paribus", *path.parent.relative_to(SOURCE).parts))
        imported = {
            node.module.removeprefix(package + ".")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(package + ".")
        }
        assert imported & beside == set(), path


@pytest.mark.parametrize("cls", parts(), ids=part_name)
def test_every_part_says_where_it_comes_from(cls):
    name = part_name(cls)
    source = getattr(cls, "source", "")
    assert bool(source) != (name in NO_SOURCE), f"{name}: give a source, or a reason in NO_SOURCE, and not both"
    assert isinstance(cls.revision, int)
    assert cls.revision >= 1
    assert bool(cls.examples) != (name in NO_EXAMPLES), (
        f"{name}: give examples, or a reason in NO_EXAMPLES, and not both"
    )
    assert all(type(example) is cls for example in cls.examples)
    assert (cls.__doc__ or sys.modules[cls.__module__].__doc__ or "").strip()


def test_exceptions_are_real():
    names = {part_name(cls) for cls in parts()}
    assert set(NO_SOURCE) | set(NO_EXAMPLES) <= names


# Imports everything once, so that other packages are loaded; then imports paribus again with its hands tied.
TIED = """
import builtins, importlib, importlib.util, io, os, pathlib, pkgutil, random, socket, subprocess, sys
import numpy, torch
from torch.utils._python_dispatch import TorchDispatchMode

import paribus
found = [info.name for info in pkgutil.walk_packages(paribus.__path__, "paribus.")]
for name in found:
    importlib.import_module(name)
python_files = {
    name for name, module in sys.modules.items()
    if name.split(".")[0] == "paribus" and str(getattr(module, "__file__", "")).endswith(".py")
}
for name in python_files:
    del sys.modules[name]

class NoTensor(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        raise RuntimeError(f"an import computed {function}")

def refuse(*arguments, **keywords):
    raise RuntimeError(f"an import read, wrote or drew: {arguments}")

for module, names in (
    (builtins, ("open",)), (io, ("open",)),
    (os, ("open", "mkdir", "makedirs", "remove", "replace", "rename")),
    (pathlib.Path, ("exists", "is_file", "is_dir", "iterdir", "glob", "rglob", "read_text", "read_bytes", "resolve")),
    (subprocess, ("Popen",)), (socket, ("socket",)),
    (random, ("random", "Random", "seed", "randint", "choice", "shuffle")),
    (numpy.random, ("default_rng", "Generator", "Philox", "PCG64", "RandomState", "seed", "rand", "randn", "normal")),
    (torch, ("manual_seed", "Generator", "load", "save")),
):
    for name in names:
        # A class may still stand in an annotation.
        kind = isinstance(getattr(module, name), type)
        setattr(module, name, type(name, (), {"__new__": refuse}) if kind else refuse)

with NoTensor():
    for name in found:
        importlib.import_module(name)
    for path in sys.argv[1:]:
        spec = importlib.util.spec_from_file_location("extra", path)
        try:
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
            print("missed", path)
        except RuntimeError as error:
            assert "an import" in str(error), error
            print("seen")
"""


IDLE_NO_MORE = (
    "open(__file__).read()",
    "import pathlib; pathlib.Path(__file__).read_text()",
    "import torch; torch.zeros(1)",
    "import torch; torch.arange(3)",
    "import torch; torch.nn.Linear(1, 1)",
    "import numpy as np; np.random.default_rng(0)",
    "from paribus.core.seed import generator; generator(0)",
    "import random; random.random()",
)


def test_imports_build_frozen_data_only(tmp_path):
    """No file, tensor or random number, in claims above all; and the check sees what it must not let pass."""
    claims = [path for path in FILES if path.is_relative_to(SOURCE / "claims") and path.name != "__init__.py"]
    assert claims, "there is no claim to import"
    paths = []
    for number, line in enumerate(IDLE_NO_MORE):
        paths.append(os.fspath(tmp_path / f"claim_{number}.py"))
        Path(paths[-1]).write_text(line + "\n", encoding="utf-8")
    done = python(TIED, *paths)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["seen"] * len(IDLE_NO_MORE)
