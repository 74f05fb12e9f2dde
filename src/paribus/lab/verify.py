"""Recompute a verdict from the plan and the raw cells of its run, with the rules as they are now.

Nothing is trained and no claim is imported: plan, cells and verdict.json are read as files. Checked are:

- that the plan is the one that the verdict names, and what the verdict repeats of it;
- that every cell that must be listed is listed once, and that what it was made of, whose digest it bears, is what the
  plan gives for its arm, seed and phase; that its metrics are those listed;
- that a reading's weights are those of its arm, in the bits that it was made on; that arms read the same data in the
  same order and share their starts;
- the search of rates, the A/A differences, predictions, rankings, trend and word.

What cannot be recomputed: all that is `measured`, the matching of models that are the user's own or of another
revision, and that the numbers in a cell are what its training gives in the environment that it names: only training
again tells.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from paribus.core.config import digest, from_dict
from paribus.core.errors import ConfigError, RunFolderError
from paribus.evaluation.base import Metric
from paribus.lab.along import points
from paribus.lab.folder import CELL, CELLS, PLAN, made_on, read_json
from paribus.lab.on_disk import CellOnDisk, is_digest
from paribus.lab.plan import SMOKE
from paribus.lab.planned import Planned
from paribus.lab.ranking import METHOD, rankings
from paribus.lab.searched import Searched
from paribus.lab.verdict import Measure, judge
from paribus.lab.verdict import twins as differences_of_twins

CURE = "copy it again from where it was made, or run the claim again"
FORMLESS = (KeyError, TypeError, ValueError, IndexError, AttributeError)  # what reading a file of another form raises
NEAR = 1e-9  # of residuals, which are quotients of prices


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
    try:
        measures = measures_of(plan["task"])  # that a metric is not known is an error
    except FORMLESS as error:
        return [_formless(path, error)]
    try:
        return _Verdict(kept, folder, Planned(plan), measures).problems()
    except (*FORMLESS, ConfigError) as error:
        return [_formless(path, error)]


def _formless(path: Path, error: Exception) -> str:
    what = f"there is no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
    return f"{path} or its {PLAN} has not the form in which paribus writes it ({what})"


class _Verdict:
    def __init__(
        self, kept: Mapping[str, Any], folder: Path, planned: Planned, measures: Mapping[str, Measure]
    ) -> None:
        self.kept, self.folder, self.planned, self.measures = kept, folder, planned, measures
        self.rates: Mapping[str, float] = {}

    def problems(self) -> list[str]:
        found = [*self._repeated(), *self._searched()]
        missing = list(self._roster())
        found += [*missing, *self._cells()]
        if missing:
            return found  # without its cells nothing can be judged
        return [*found, *self._trials(), *self._rejudged(), *self._redrawn()]

    def _repeated(self) -> Iterator[str]:
        """What stands in the plan too."""
        kept, planned, plan = self.kept, self.planned, self.planned.plan
        if digest(plan) != kept["plan"]:
            yield f"{PLAN} is not the plan that the verdict names"
        stacks = [list(stack) for stack in planned.profile.stacks(planned.profile.seeds)]
        told = {
            **{name: (kept[name], plan[name]) for name in ("claim", "version", "profile", "primary", "environment")},
            "corpus": (kept["corpus"], {"manifest": plan["manifest"]}),
            "matching.contract": (kept["matching"]["contract"], planned.task.get("match", "none")),
            "stacks": (kept.get("stacks", []), stacks),
        }
        yield from (f"{name} is not that of the plan" for name, (ours, theirs) in told.items() if ours != theirs)
        residuals = kept["matching"]["residual"]
        if residuals.keys() != (set(planned.arms) if planned.trained else set()):
            yield "matching.residual does not list the arms of the plan"
        for name, value in planned.residuals().items():
            if name in residuals and abs(residuals[name] - value) > NEAR:
                yield f"matching.residual of arm {name!r} is {residuals[name]}, its config gives {value}"

    def _searched(self) -> list[str]:
        """The rates, from the tuning cells."""
        told = self.kept["learning_rates"]
        search = Searched(self.planned, self.folder)
        found = search.problems(told)
        self.rates = told["chosen"] if search.missing else search.chosen
        return found

    def _roster(self) -> Iterator[str]:
        """Which cells are listed."""
        listed: dict[Any, int] = {}
        for cell in self.kept["cells"]:
            place = cell["kind"], cell["phase"], cell["arm"], cell["replicate"]
            listed[place] = listed.get(place, 0) + 1
        wanted = set(self.planned.places())
        seeds = set(self.planned.profile.seeds)
        trainings = {("train", "verdict", arm, seed) for arm in self.planned.trained_arms for seed in seeds}
        for place in sorted(wanted - listed.keys()):
            yield f"no cell is listed for {_spell(place)}"
        for place, times in listed.items():
            if place not in wanted | trainings:
                yield f"a cell is listed for {_spell(place)}, which the plan does not have"
            elif times > 1:
                yield f"{times} cells are listed for {_spell(place)}"
        earlier = [(cell["steps"], cell["arm"], cell["replicate"]) for cell in self._of_trend]
        every = [(n, arm, seed) for n in self.planned.earlier for arm in self.planned.arms for seed in seeds]
        if sorted(earlier) != sorted(every):
            yield "the cells of the trend are not those that the plan has"

    @property
    def _of_trend(self) -> list[Mapping[str, Any]]:
        return list(self.kept.get("trend", {}).get("cells", []))

    def _cells(self) -> Iterator[str]:
        for cell in self.kept["cells"]:
            yield from self._of_cell(cell, cell["kind"], self.planned.steps if self.planned.trained else 0)
        for cell in self._of_trend:
            yield from self._of_cell(cell, "read", cell["steps"])

    def _of_cell(self, cell: Mapping[str, Any], kind: str, steps: int) -> Iterator[str]:
        """Where the files of a cell say something else than the verdict, or are of another cell than it says."""
        arm, seed, planned = cell["arm"], cell["replicate"], self.planned
        found = self._on_disk(cell["digest"])
        if found is None or not found.result:
            yield f"the cell {cell['digest']} of arm {arm!r}, seed {seed}, has no result.json that is whole"
            return
        if found.result["metrics"] != cell["metrics"] or found.result["status"] != cell["status"]:
            yield f"{found.path / 'result.json'} has other metrics than the verdict lists"
        if not _is_described(found):
            yield f"{found.path / CELL} is not what its digest was made of"
            return
        if arm not in planned.arms:
            return  # told already
        if kind == "measure":
            yield from self._unlike(found, arm, seed, planned.measuring(arm, seed))
            return
        owner, twin = planned.owner(arm), cell.get("phase") == "aa"
        if cell.get("learning_rate", self.rates.get(owner)) != self.rates.get(owner):
            yield f"arm {arm!r}, seed {seed}: the rate is listed as {cell['learning_rate']}, not the one chosen"
        training = found
        if kind == "read":
            yield from self._unlike(found, arm, seed, planned.reading(arm, seed))
            trained = self._on_disk(found.described["weights"])
            if trained is None or not _is_described(trained):
                yield f"the weights that {found.path} was read from, {found.described['weights']}, are no cell here"
                return
            if made_on(found.result, trained.result) is False:
                yield f"{found.path} was read from weights of other bits than those of {trained.path}"
            training = trained
        yield from self._of_training(training, owner, seed, steps, twin)

    def _of_training(self, cell: CellOnDisk, arm: str, seed: int, steps: int, twin: bool) -> Iterator[str]:
        planned, rate = self.planned, self.rates.get(arm, 0.0)
        yield from self._unlike(cell, arm, seed, planned.training(arm, seed, rate, steps, twin))
        base = planned.arms[arm]["starts_from"]
        start = None if cell.described["weights"] is None else self._on_disk(cell.described["weights"])
        if base is not None and (start is None or not _is_described(start)):
            yield f"{cell.path} does not begin with weights of arm {base!r}"
        elif base is not None and start is not None:
            yield from self._unlike(start, base, seed, planned.training(base, seed, self.rates.get(base, 0.0)))
        elif start is not None and planned.profile.trend is None:
            yield f"{cell.path} begins with the weights of {start.digest}, arm {arm!r} with drawn ones"

    def _unlike(self, cell: CellOnDisk, arm: str, seed: int, wanted: Mapping[str, Any]) -> Iterator[str]:
        if odd := self.planned.odd(cell.described, wanted):
            yield f"{cell.path} is not the cell of arm {arm!r}, seed {seed}: other {', '.join(odd)}"

    def _on_disk(self, name: Any) -> CellOnDisk | None:
        if not isinstance(name, str) or not is_digest(name):
            return None
        return self._known.setdefault(name, CellOnDisk(self.folder / CELLS / name))

    @cached_property
    def _known(self) -> dict[str, CellOnDisk]:
        return {}

    def _trials(self) -> Iterator[str]:
        """Equal data in equal order, and equal starts of what arms share, among all that is read at a seed."""
        orders: dict[int, set[str]] = {}
        starts: dict[tuple[int, str], str] = {}
        for cell in self.kept["cells"]:
            found = self._on_disk(cell["digest"])
            if cell["kind"] == "measure" or found is None or not found.described:
                continue
            training = found if cell["kind"] == "train" else self._on_disk(found.described["weights"])
            if training is None or not training.result:
                continue
            seed, result = cell["replicate"], training.result
            if result["status"] == "finished":
                orders.setdefault(seed, set()).add(result["order"])
            if training.described["weights"] is None:
                for name, bits in result["initial"].items():
                    if starts.setdefault((seed, name), bits) != bits:
                        yield f"seed {seed}: arm {cell['arm']!r} starts with other numbers in {name!r} than another arm"
        yield from (
            f"seed {seed}: not all arms read the same bytes in the same order"
            for seed, found_orders in orders.items()
            if len(found_orders) > 1
        )

    def _rejudged(self) -> Iterator[str]:
        """Where the rules, applied to the listed metrics, say something else."""
        kept, planned, plan = self.kept, self.planned, self.planned.plan
        results, twins = self._results
        noise = {}
        if planned.control is not None:
            for prediction in planned.with_noise:
                noise[prediction.id] = differences_of_twins(prediction, results[planned.control], twins, self.measures)
        ours = [
            {"id": name, "n": one.n, "mean": one.mean, "p_t": one.p_t(), "values": list(one.values)}
            for name, one in noise.items()
        ]
        if ours != kept["aa"]:
            yield "the A/A differences cannot be recomputed from the cells"
        smoke = plan["profile"] == SMOKE
        verdict = judge(planned.predictions, plan["primary"], results, self.measures, noise, smoke=smoke)
        if verdict.word != kept["verdict"]:
            yield f"the rules give {verdict.word!r}, the verdict says {kept['verdict']!r}"
        yield from self._ranked(smoke)
        entries = verdict.entries()
        if [one["id"] for one in entries] != [one["id"] for one in kept["predictions"]]:
            yield "the predictions are not those of the plan"
            return
        for one, theirs in zip(entries, kept["predictions"], strict=True):
            if odd := [key for key in one if one[key] != theirs.get(key)]:
                yield f"prediction {one['id']!r}: {', '.join(odd)} cannot be recomputed from the cells"

    @property
    def _results(self) -> tuple[dict[str, Any], dict[int, Any]]:
        """Metrics by arm and seed in the order of the plan, and those of the twin by seed, as they are listed."""
        seeds = self.planned.profile.seeds
        results: dict[str, dict[int, Any]] = {arm: dict.fromkeys(seeds) for arm in self.planned.arms}
        twins: dict[int, Any] = {}
        for cell in self.kept["cells"]:
            if cell["kind"] != "train":
                side = twins if cell["phase"] == "aa" else results[cell["arm"]]
                side[cell["replicate"]] = cell["metrics"]
        return results, dict(sorted(twins.items()))

    def _ranked(self, smoke: bool) -> Iterator[str]:
        """Rankings of an earlier rule stand as they are, and there was a time without any."""
        if "rankings" not in self.kept:
            return
        listed = self.kept["rankings"]
        results, _ = self._results
        ranked = (
            [] if smoke else rankings(self.planned.predictions, self.planned.plan["primary"], results, self.measures)
        )
        ours = {one.metric: one.entry() for one in ranked}
        ruled = [one["metric"] for one in listed if one.get("method") == METHOD]
        alike = all(ours[one["metric"]] == one for one in listed if one["metric"] in ruled)
        if [one["metric"] for one in listed] != list(ours) or not alike:
            yield "the rankings of all arms cannot be recomputed from the cells"

    def _redrawn(self) -> Iterator[str]:
        """Where the points of a trend do not follow from its cells."""
        planned = self.planned
        if not planned.earlier:
            return
        results: dict[int, Any] = {planned.steps: self._results[0]}
        for cell in self._of_trend:
            results.setdefault(cell["steps"], {}).setdefault(cell["arm"], {})[cell["replicate"]] = cell["metrics"]
        drawn = points(planned.predictions, self.measures, results, planned.tokens_per_step)
        if [point.entry() for point in drawn] != self.kept["trend"]["points"]:
            yield "the points of the trend cannot be recomputed from the cells"


def _is_described(cell: CellOnDisk) -> bool:
    return bool(cell.described) and digest(cell.described)[: len(cell.digest)] == cell.digest


def _spell(place: Any) -> str:
    kind, phase, arm, seed = place
    verb = {"train": "the training", "read": "the reading", "measure": "the measuring"}.get(kind, str(kind))
    twin = " (the A/A twin)" if phase == "aa" else ""
    return f"{verb} of arm {arm!r}{twin}, seed {seed}"


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
