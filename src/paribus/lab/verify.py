"""Recompute a verdict from the raw cells of its run, with the rules as they are now.

Nothing is trained and no claim is imported: the plan, the cells and verdict.json are read as files. A cell's digest
must be that of its description, its metrics those that verdict.json lists, and the rules must give the same entries.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paribus.core.config import digest, from_dict
from paribus.core.errors import ConfigError, RunFolderError
from paribus.evaluation.base import Metric
from paribus.lab.along import points
from paribus.lab.folder import CELLS, PLAN, RESULT, read_json
from paribus.lab.plan import SMOKE
from paribus.lab.predictions import Prediction
from paribus.lab.ranking import METHOD, rankings
from paribus.lab.verdict import Measure, judge
from paribus.lab.verdict import twins as differences_of_twins

CURE = "copy it again from where it was made, or run the claim again"


def verify(path: Path) -> list[str]:
    """What does not agree, in sentences; an empty list is a verified verdict. path: verdict.json in its run folder."""
    if not path.is_file():
        raise RunFolderError(f"there is no file {path}: give the verdict.json of a run folder")
    kept, folder = read_json(path, CURE), path.parent
    if not isinstance(kept, dict) or kept.get("schema") != "paribus.verdict/1":
        raise RunFolderError(f"{path} is no verdict of schema paribus.verdict/1")
    if not (folder / PLAN).is_file():
        raise RunFolderError(f"{folder} has no {PLAN}: a verdict is verified where its cells lie, in its run folder")
    plan = read_json(folder / PLAN, CURE)
    problems = [] if digest(plan) == kept["plan"] else [f"{PLAN} is not the plan that the verdict names"]
    results: dict[str, Any] = {}
    twins: dict[str, Any] = {}
    for cell in kept["cells"]:
        problems += _disagreements(folder / CELLS / cell["digest"], cell)
        if cell["kind"] == "train":
            continue
        side = twins if cell["phase"] == "aa" else results
        side.setdefault(cell["arm"], {})[cell["replicate"]] = cell["metrics"]
    problems += [told for cell in kept.get("trend", {}).get("cells", []) for told in _of_trend(folder, cell)]
    return problems + _rejudged(kept, plan, results, twins) + _redrawn(kept, plan, results)


def _of_trend(folder: Path, cell: Mapping[str, Any]) -> list[str]:
    return _disagreements(folder / CELLS / cell["digest"], cell)


def _redrawn(kept: Mapping[str, Any], plan: Mapping[str, Any], whole: Mapping[str, Any]) -> list[str]:
    """Where the points of a trend do not follow from its cells."""
    if "trend" not in kept:
        return []
    listed = kept["trend"]["points"]
    results: dict[int, Any] = {listed[-1]["steps"]: whole}
    for cell in kept["trend"]["cells"]:
        results.setdefault(cell["steps"], {}).setdefault(cell["arm"], {})[cell["replicate"]] = cell["metrics"]
    predictions = [from_dict(Prediction, one) for one in plan["predicts"]]
    per_step = listed[-1]["tokens"] // listed[-1]["steps"]
    ours = [point.entry() for point in points(predictions, measures_of(plan["task"]), results, per_step)]
    return [] if ours == listed else ["the points of the trend cannot be recomputed from the cells"]


def _disagreements(folder: Path, cell: Mapping[str, Any]) -> list[str]:
    """Where the files of a cell say something else than the verdict."""
    if not (folder / RESULT).is_file():
        return [f"the cell {cell['digest']} of arm {cell['arm']!r}, seed {cell['replicate']}, has no {RESULT}"]
    described, result = read_json(folder / "cell.json", CURE), read_json(folder / RESULT, CURE)
    found = []
    if digest(described)[:32] != cell["digest"]:
        found.append(f"{folder / 'cell.json'} is not what its digest was made of")
    if result["metrics"] != cell["metrics"] or result["status"] != cell["status"]:
        found.append(f"{folder / RESULT} has other metrics than the verdict lists")
    return found


def _rejudged(
    kept: Mapping[str, Any], plan: Mapping[str, Any], results: Mapping[str, Any], twins: Mapping[str, Any]
) -> list[str]:
    """Where the rules, applied to the listed metrics, say something else."""
    predictions = [from_dict(Prediction, one) for one in plan["predicts"]]
    measures = measures_of(plan["task"])
    noise = {}
    for prediction in predictions:
        if any(one["id"] == prediction.id for one in kept["aa"]):
            (control,) = twins
            noise[prediction.id] = differences_of_twins(prediction, results[control], twins[control], measures)
    verdict = judge(predictions, plan["primary"], results, measures, noise, smoke=plan["profile"] == SMOKE)
    found = []
    if verdict.word != kept["verdict"]:
        found.append(f"the rules give {verdict.word!r}, the verdict says {kept['verdict']!r}")
    # Rankings of an earlier rule stand as they are.
    ruled = [one for one in kept.get("rankings", ()) if one.get("method") == METHOD]
    if ruled and plan["profile"] != SMOKE:
        ranked = rankings(predictions, plan["primary"], results, measures)
        if [one.entry() for one in ranked] != ruled:
            found.append("the rankings of all arms cannot be recomputed from the cells")
    for ours, theirs in zip(verdict.entries(), kept["predictions"], strict=True):
        odd = [key for key in ours if ours[key] != theirs.get(key)]
        if odd:
            found.append(f"prediction {ours['id']!r}: {', '.join(odd)} cannot be recomputed from the cells")
    return found


def measures_of(task: Mapping[str, Any]) -> dict[str, Measure]:
    """Unit and direction of every metric, from the task of a plan."""
    if task["part"] == "Measured":
        return {name: Measure(unit, name in task["lower_is_better"]) for name, unit in task["units"].items()}
    try:
        metric = from_dict(Metric, task["metric"])
    except ConfigError as error:
        raise ConfigError(
            f"{error}. If the metric is your own, name the file of its claim: paribus verify RUN --claim FILE.py"
        ) from error
    return {name: Measure(metric.unit(name), metric.lower_is_better(name)) for name in metric.names()}
