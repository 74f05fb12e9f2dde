"""Record what the code of every part and of the engine is, in tests/part_hashes.json.

    python tests/bless.py                 after new parts, or after a revision was raised
    python tests/bless.py Softmax engine  after changes that change no result: you promise it by naming them

A changed part whose revision stayed must be named, because old results would be reused as if nothing had happened.
The engine is every file of the rooms below that belongs to no part: the loop, the decoder's layers, caches, kernels;
and the native kernels.
Hashes ignore comments, docstrings, annotations, messages, sources and examples: nothing that changes a number.
"""

import ast
import hashlib
import importlib
import inspect
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any

import paribus
from paribus.core.config import Part, part_name
from paribus.lab.cell import ENGINE_REVISION

SOURCE = Path(paribus.__file__).parent
KERNELS = Path(__file__).resolve().parents[1] / "native" / "kernels"
RECORD = Path(__file__).with_name("part_hashes.json")
# A corpus is named by its content and a tokenizer by its vocabulary: only their parts are recorded.
PART_ROOMS = ("text", "tokenizer")
ENGINE_ROOMS = (
    *("attention", "data", "diffusion", "evaluation", "layers", "losses", "models", "normalizers", "ops"),
    *("positions", "quantizers", "recurrences", "structured", "training"),
)
ENGINE_FILES = ("core/seed.py", "lab/work.py")
ENGINE = "engine"


def plain(node: Any) -> Any:
    """The tree without positions, docstrings, annotations and words, alike in every version of Python."""
    if isinstance(node, list):
        return [plain(one) for one in node if not _says_nothing(one)]
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.JoinedStr):
        return ["f", [plain(one) for one in node.values if isinstance(one, ast.FormattedValue)]]
    skipped = {"annotation", "returns", "type_comment", "kind", "type_params", "ctx"}
    fields = [
        [name, plain(value)] for name, value in ast.iter_fields(node) if name not in skipped and value is not None
    ]
    return [type(node).__name__, [field for field in fields if field[1] != []]]


def _says_nothing(node: Any) -> bool:
    """A docstring, or a statement about a part that no result depends on."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return True
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "") for target in targets]
    return bool(names) and set(names) <= {"source", "revision", "examples"}


def hash_of(text: str) -> str:
    return hashlib.blake2b(json.dumps(plain(ast.parse(text))).encode(), digest_size=8).hexdigest()


def hash_of_native(text: str) -> str:
    """Of C++ without comments, includes and the layout of its lines."""
    lines = (line.split("//")[0].strip() for line in text.splitlines())
    kept = " ".join(line for line in lines if line and not line.startswith("#include"))
    return hashlib.blake2b(kept.encode(), digest_size=8).hexdigest()


def now() -> dict[str, Any]:
    """What the record should say of the code as it is."""
    for info in pkgutil.walk_packages(paribus.__path__, "paribus."):
        importlib.import_module(info.name)

    def below(cls: type[Part]) -> set[type[Part]]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    parts: dict[str, Any] = {}
    part_files = set()
    for cls in below(Part):
        if inspect.isabstract(cls) or cls is Part or not cls.__module__.startswith("paribus."):
            continue
        path = Path(inspect.getfile(cls))
        name = path.relative_to(SOURCE).as_posix()
        if name.split("/")[0] in (*PART_ROOMS, *ENGINE_ROOMS):
            part_files.add(name)
            parts[f"{part_name(cls)} ({name})"] = {"revision": cls.revision, "hash": hash_of(path.read_text("utf-8"))}
    inside = (path.relative_to(SOURCE).as_posix() for room in ENGINE_ROOMS for path in (SOURCE / room).rglob("*.py"))
    engine = [name for name in (*inside, *ENGINE_FILES) if name not in part_files]
    files = {name: hash_of((SOURCE / name).read_text("utf-8")) for name in sorted(engine)}
    files = {name: each for name, each in files.items() if each != hash_of("")}
    files |= {
        f"native/kernels/{path.name}": hash_of_native(path.read_text("utf-8")) for path in sorted(KERNELS.iterdir())
    }
    return {ENGINE: {"revision": ENGINE_REVISION, "files": files}, "parts": dict(sorted(parts.items()))}


def recorded() -> dict[str, Any]:
    if not RECORD.exists():
        return {ENGINE: {"revision": 0, "files": {}}, "parts": {}}
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record


def silent_changes(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    """What changed without a higher revision: name -> what to do."""
    found: dict[str, str] = {}
    for name, part in new["parts"].items():
        before = old["parts"].get(name)
        if before and part["revision"] <= before["revision"] and part != before:
            word = name.split(" ")[0]
            text = f"{name} changed: raise its revision above {before['revision']}"
            found[word] = f"{found[word]}\n{text}" if word in found else text
    before, after = old[ENGINE], new[ENGINE]
    if after["revision"] <= before["revision"] and after != before:
        names = sorted(name for name, _ in before["files"].items() ^ after["files"].items())
        found[ENGINE] = (
            f"the engine changed ({', '.join(dict.fromkeys(names))}): raise ENGINE_REVISION in lab/cell.py above "
            f"{before['revision']}"
        )
    return found


def main(named: list[str]) -> int:
    """Record all but the silent changes that nobody named; 1 when some are left, 2 for a name that is none of them."""
    old, new = recorded(), now()
    silent = silent_changes(old, new)
    for word in set(named) - silent.keys():
        print(f"{word}: no silent change of that name")  # noqa: T201
        return 2
    unnamed = {word: text for word, text in silent.items() if word not in named}
    for name in new["parts"]:
        if name.split(" ")[0] in unnamed and name in old["parts"]:
            new["parts"][name] = old["parts"][name]
    if ENGINE in unnamed:
        new[ENGINE] = old[ENGINE]
    RECORD.write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if unnamed:
        print("\n".join(unnamed.values()))  # noqa: T201
        print("or, if no result changes, name what you bless: python tests/bless.py NAME ...")  # noqa: T201
    return 1 if unnamed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
