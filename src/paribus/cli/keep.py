"""In a checkout: keep verdicts under docs/claims and write the index of claims."""

import json
import shutil
from pathlib import Path

from paribus.core.errors import InputError
from paribus.lab.folder import read_json
from paribus.lab.index import CLAIMS, INDEX, claim_files, describe


def checkout() -> Path:
    """The root of the checkout that this package runs from."""
    root = CLAIMS.parent.parent.parent
    if not (root / "pyproject.toml").is_file():
        raise InputError(f"{CLAIMS} is an installed package, not a checkout: run this where paribus is developed")
    return root


def keep_verdict(run: Path) -> str:
    """Copy verdict.json and report.md of a run to docs/claims/<name>/<profile>, and give the name of the claim.

    What is kept there of another version of the claim goes to docs/claims/<name>/version-N/. Smoke runs are refused.
    """
    if not (run / "verdict.json").is_file():
        raise InputError(f"{run} has no verdict.json: give the folder of a finished run")
    verdict = read_json(run / "verdict.json", "delete it and run the same command again, which writes it anew")
    if verdict["profile"] == "smoke":
        raise InputError(f"{run} is a smoke run: it gives no verdict to keep")
    if verdict["claim"] not in claim_files():
        raise InputError(f"{verdict['claim']!r} is no claim of the library: only those are kept here")
    target = checkout() / "docs" / "claims" / verdict["claim"]
    target.mkdir(parents=True, exist_ok=True)
    _set_aside(target, verdict["profile"], verdict["version"])
    shutil.copyfile(run / "verdict.json", target / f"{verdict['profile']}.json")
    shutil.copyfile(run / "report.md", target / f"{verdict['profile']}.md")
    return str(verdict["claim"])


def _set_aside(target: Path, profile: str, version: int) -> None:
    """Move the verdict of an earlier version to version-N/ beside it: a new version never overwrites an old verdict."""
    kept = target / f"{profile}.json"
    if not kept.exists():
        return
    before = read_json(kept, "restore it from the history of the checkout")["version"]
    if before != version:
        older = target / f"version-{before}"
        older.mkdir(exist_ok=True)
        for one in (kept, kept.with_suffix(".md")):
            if one.exists():
                one.rename(older / one.name)


def write_index() -> None:
    """Describe every claim; one that changed under the same version, with verdicts kept, is refused."""
    root = checkout()
    before = json.loads(INDEX.read_text(encoding="utf-8")) if INDEX.exists() else {}
    index = {name: describe(name, root / "docs" / "claims") for name in sorted(claim_files())}
    for name, entry in index.items():
        old = before.get(name)
        if old is None:
            continue
        of_this = [one for one in old["verdicts"].values() if one["version"] == entry["version"]]
        if of_this and old["version"] == entry["version"] and old["digest"] != entry["digest"]:
            raise InputError(
                f"the claim {name!r} changed, but it is still version {entry['version']} and has kept verdicts: raise "
                "`version` in its file"
            )
    INDEX.write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
