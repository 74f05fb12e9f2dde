"""The list of claims, kept beside them as index.json, so that `paribus claims` answers without importing torch.

An entry is used while the hash of its claim's file agrees; `paribus claims --refresh` writes the index anew.
"""

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

CLAIMS = Path(__file__).parent.parent / "claims"
INDEX = CLAIMS / "index.json"


def claim_files() -> dict[str, Path]:
    """Name -> file of every claim of the library: claims/<topic>/key_norm.py is `key-norm`. Imports none of them."""
    found = {}
    for path in sorted(CLAIMS.rglob("*.py")):
        if not path.name.startswith("_"):
            found[path.stem.replace("_", "-")] = path
    return found


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def read_index() -> dict[str, dict[str, Any]]:
    """Name -> entry, for the claims whose entry is up to date."""
    try:
        stored = json.loads(INDEX.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    files = claim_files()
    return {name: entry for name, entry in stored.items() if name in files and entry["file"] == file_hash(files[name])}


def describe(name: str, verdicts: Path | None = None) -> dict[str, Any]:
    """The entry of one claim, by importing it. verdicts: the folder of kept verdicts, docs/claims."""
    from paribus.core.config import digest
    from paribus.lab.cell import Environment
    from paribus.lab.load import load
    from paribus.lab.plan import make_plan, total_cost

    _, claim = load(name)
    profiles = {}
    for profile_name, profile in claim.profiles.items():
        plan = make_plan(claim, name, profile_name, Environment("", profile.device, 1), {})
        cells = plan.expected_cells()
        flops = total_cost(cells) if plan.sized else None  # of trainings and readings; nothing counts a measure's
        profiles[profile_name] = {"cells": len(cells), "flops": flops, "seeds": len(profile.seeds)}
    return {
        "file": file_hash(claim_files()[name]),
        "title": claim.title,
        "statement": claim.statement,
        "source": claim.source,
        "version": claim.version,
        "digest": digest(
            {
                "arms": [_told(arm) for arm in claim.arms],
                "task": _told(claim.task),
                "predicts": [_told(prediction) for prediction in claim.predicts],
                "primary": claim.primary,
                "profiles": {key: _told(value) for key, value in claim.profiles.items()},
            }
        )[:16],
        "arms": [arm.name for arm in claim.arms],
        "profiles": profiles,
        "verdicts": {} if verdicts is None else kept(name, verdicts),
    }


def _told(form: Any) -> dict[str, Any]:
    """What a claim sets: a form that gains a plain field with a default leaves the claims before it as they were."""
    from paribus.core.config import Part, to_dict

    told: dict[str, Any] = to_dict(form)
    for field in fields(form):
        value = getattr(form, field.name)
        if not isinstance(value, Part) and field.default == value:
            del told[field.name]
    return told


def kept(name: str, folder: Path) -> dict[str, Any]:
    """Profile -> word, version, day and seconds of the kept verdicts of a claim."""
    found = {}
    for path in sorted((folder / name).glob("*.json")):
        verdict = json.loads(path.read_text(encoding="utf-8"))
        found[path.stem] = {
            "verdict": verdict["verdict"],
            "version": verdict["version"],
            "day": verdict["measured"]["finished"][:10],
            "seconds": round(verdict["measured"]["cell_seconds"]),
        }
    return found
