"""A grid on more than one machine, on a cluster in this process: order, losses, folders that are not shared."""

import json
import re
import threading
import time
from dataclasses import replace

import pytest

from paribus.core.errors import CellFailed, InputError
from paribus.lab import remote
from paribus.lab.executors.base import TRIES, Again, Finished, Progress
from paribus.lab.executors.spread import Cluster, Lost, SpreadExecutor, _Signs
from paribus.lab.folder import CELLS, PLAN, RunFolder
from paribus.lab.load import load
from paribus.lab.plan import plan_json
from paribus.lab.remote import answer_to


class Here(Cluster):
    """Answers in this process, latest request first; `loses` may take an answer away, before or after the work."""

    def __init__(self, loses=lambda wanted: None):
        self.loses, self.asked, self.at_work, self.most = loses, [], [], 0

    def send(self, text):
        self.asked.append(json.loads(text))
        self.at_work.append((len(self.asked), text))
        self.most = max(self.most, len(self.at_work))
        return len(self.asked)

    def ended(self):
        if not self.at_work:
            return []
        ticket, text = self.at_work.pop()
        match self.loses(json.loads(text)):
            case "before":
                return [(ticket, Lost("the node fell silent"))]
            case "after":
                answer_to(text)
                return [(ticket, Lost("the node fell silent"))]
        return [(ticket, answer_to(text))]

    def cancel(self, ticket):
        raise AssertionError("nobody was silent")

    def close(self):
        self.at_work = []


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_cell_once_and_after_what_it_needs(grid, jobs):
    cluster = Here()
    grid.run(lambda settings: SpreadExecutor(cluster, jobs, settings))
    assert cluster.most == jobs
    assert sorted(one["cell"] for one in cluster.asked) == sorted(cell.digest for cell in grid.cells)


@pytest.mark.parametrize(("when", "asked"), [("before", 2), ("after", 1)])
def test_a_lost_worker_is_tried_again_unless_it_had_finished(laboratory, settings_of, rates, tmp_path, when, asked):
    plan = laboratory.plan(profile="smoke")
    cell = plan.verdict_cells(rates)[0].weights
    seen = []
    cluster = Here(lambda wanted: seen.append(wanted) or (when if len(seen) == 1 else None))
    with RunFolder(tmp_path / "run").opened(plan_json(plan)):
        executor = SpreadExecutor(cluster, 2, settings_of(laboratory.tiny, tmp_path / "run", "smoke"))
        *again, event = executor.run([cell], rates)
    assert len(cluster.asked) == asked
    assert again == [Again(cell, "the node fell silent")] * (asked - 1)
    assert event.cell == cell
    assert event.result["status"] == "finished"


STACKED = """
from dataclasses import replace
from paribus.lab.load import load

tiny = load(%r)[1]
claim = replace(tiny, profiles={"laptop": replace(tiny.profiles["laptop"], stack=2)})
"""


@pytest.mark.parametrize(("when", "times"), [("before", 2), ("after", 1), ("between", 2)])
def test_a_stack_is_one_request(laboratory, settings_of, rates, tmp_path, when, times):
    """Lost before its work, after it, or when only its first cell was written: at the end all of it is there."""
    path = tmp_path / "stacked.py"
    path.write_text(STACKED % str(laboratory.tiny))
    plan = laboratory.plan(load(str(path))[1])
    first, second = readings = [one for one in plan.verdict_cells(rates) if (one.arm, one.phase) == ("none", "verdict")]
    place = tmp_path / "run" / CELLS / second.weights.digest
    seen = []

    class Cut(Here):
        def ended(self):
            answers = super().ended()
            if when == "between" and len(self.asked) == 1:
                (place / "result.json").unlink()
                return [(ticket, Lost("the node fell silent")) for ticket, _ in answers]
            return answers

    cluster = Cut(lambda wanted: seen.append(wanted) or (when if len(seen) == 1 and when != "between" else None))
    with RunFolder(tmp_path / "run").opened(plan_json(plan)):
        executor = SpreadExecutor(cluster, 2, settings_of(path, tmp_path / "run"))
        events = list(executor.run([first.weights, *readings], rates))
    lead = first.weights.digest
    assert [one["cell"] for one in cluster.asked][:times] == [lead] * times
    assert len(cluster.asked) == times + 2
    assert [event.cell.digest for event in events if isinstance(event, Again)] == [lead] * (times - 1)
    assert {event.cell.digest for event in events if isinstance(event, Finished)} == {
        lead, first.digest, second.digest
    }  # fmt: skip
    assert (place / "result.json").exists()
    assert (place / "weights.safetensors").exists()


def test_the_steps_of_a_stack_are_those_of_its_cells_at_work(laboratory, settings_of, rates, tmp_path):
    """Whichever of them lives on."""
    claim = laboratory.claim
    claim = replace(claim, profiles={"laptop": replace(claim.profiles["laptop"], stack=2)})
    cell = laboratory.plan(claim).verdict_cells(rates)[0].weights
    folders = [tmp_path / "run" / CELLS / one.digest for one in cell.stacked]
    executor = SpreadExecutor(Here(), 1, settings_of(laboratory.tiny, tmp_path / "run"))
    signs = _Signs(folders)
    assert executor._steps(cell) == 0
    for folder, events in zip(folders, ("x\n", "x\nx\nx\n"), strict=True):
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_text(events)
    assert executor._steps(cell) == 3
    signs.silence()
    assert signs.begun
    (folders[1] / "result.json").touch()  # finished by a worker before
    assert executor._steps(cell) == 1


def test_a_worker_that_is_always_lost(losses, settings_of, tmp_path):
    path, cells = losses
    cluster = Here(lambda wanted: "before" if wanted["arm"] == "always" else None)
    executor = SpreadExecutor(cluster, 2, settings_of(path, tmp_path / "run"))
    told = []
    events = executor.run([cells["always"], cells["works"]], {})
    with pytest.raises(
        CellFailed,
        match=r"measuring arm 'always', seed 0: its worker was lost 3 times.*finished cells are kept.*fell silent",
    ):
        told.extend(event.cell.arm for event in events if isinstance(event, Finished))
    assert [one["arm"] for one in cluster.asked].count("always") == TRIES == 3
    assert told == ["works"]
    assert (tmp_path / "run" / CELLS / cells["works"].digest / "result.json").exists()


def test_the_steps_of_a_training_are_told(laboratory, settings_of, rates, tmp_path):
    plan = laboratory.plan(profile="smoke")
    cell = plan.verdict_cells(rates)[0].weights
    folder = tmp_path / "run" / CELLS / cell.digest
    folder.mkdir(parents=True)
    rounds = iter(['{"step": 0}\n', '{"step": 1}\n{"ste', None])

    class Slow(Here):
        def ended(self):
            if (text := next(rounds)) is None:
                return super().ended()
            (folder / "events.jsonl").write_text(text)
            return []

    (tmp_path / "run" / PLAN).write_text(plan_json(plan))
    executor = SpreadExecutor(Slow(), 1, settings_of(laboratory.tiny, tmp_path / "run", "smoke"))
    first, last = executor.run([cell], rates)
    assert first == Progress(cell, 1, 5)
    assert isinstance(last, Finished)


class Silent(Here):
    """The first `silent` workers begin, and are not heard of again."""

    def __init__(self, silent, cells, waits=0):
        super().__init__()
        self.silent, self.cells, self.cancelled, self.waits = silent, cells, [], waits

    def ended(self):
        time.sleep(0.02)
        if self.waits:  # in a queue: not even begun
            self.waits -= 1
            return []
        if len(self.asked) > self.silent:
            return super().ended()
        place = self.cells / self.asked[-1]["cell"]
        place.mkdir(parents=True, exist_ok=True)
        begun = place / "cell.json"
        if not begun.exists() or begun.stat().st_size != len(self.asked):
            begun.write_text("x" * len(self.asked))
        return []

    def cancel(self, ticket):
        self.cancelled.append(ticket)
        self.at_work = [one for one in self.at_work if one[0] != ticket]


@pytest.mark.parametrize(("silent", "waits"), [(1, 0), (2, 0), (0, 40)])
def test_a_silent_worker_is_stopped_and_its_cell_tried_again(losses, settings_of, tmp_path, silent, waits):
    path, cells = losses
    cluster = Silent(silent, tmp_path / "run" / CELLS, waits)
    executor = SpreadExecutor(cluster, 2, settings_of(path, tmp_path / "run") | {"timeout": 0.4})
    *again, event = executor.run([cells["works"]], {})
    assert again == [Again(cells["works"], "it said nothing for 0 seconds, the --timeout")] * silent
    assert cluster.cancelled == [1, 2][:silent]
    assert event.result["metrics"] == {"x": 0.0}


def test_workers_that_are_always_silent(losses, settings_of, tmp_path):
    path, cells = losses
    cluster = Silent(99, tmp_path / "run" / CELLS)
    executor = SpreadExecutor(cluster, 2, settings_of(path, tmp_path / "run") | {"timeout": 0.2})
    with pytest.raises(CellFailed, match=r"was lost 3 times.*longer --timeout.*it said nothing for 0 seconds"):
        list(executor.run([cells["works"]], {}))
    assert cluster.cancelled == [1, 2, 3]


def test_without_an_estimate_patience_is_endless(losses, settings_of, tmp_path):
    path, cells = losses
    executor = SpreadExecutor(Here(), 1, settings_of(path, tmp_path / "run"))
    assert executor.patience.limit(cells["works"]) is None


def test_a_folder_that_is_not_shared(laboratory, losses, settings_of, rates, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE", 0.0)
    path, cells = losses
    with pytest.raises(InputError, match=r"does not see .*elsewhere/plan.json: the run folder must be on a file"):
        list(SpreadExecutor(Here(), 1, settings_of(path, tmp_path / "elsewhere")).run([cells["works"]], {}))

    plan = laboratory.plan(profile="smoke")
    read = plan.verdict_cells(rates)[0]
    (tmp_path / "run" / PLAN).write_text(plan_json(plan))
    settings = settings_of(laboratory.tiny, tmp_path / "run", "smoke")
    with pytest.raises(InputError, match=rf"does not see .*{read.weights.digest}/result.json"):
        list(SpreadExecutor(Here(), 1, settings).run([read], rates))

    class Far(Here):
        """Says that it has worked, and no file shows here."""

        def ended(self):
            ticket, text = self.at_work.pop()
            return [(ticket, json.dumps({"cell": json.loads(text)["cell"], "result": {}}))]

    with pytest.raises(InputError, match=r"a worker has finished it, and .* does not show it here"):
        list(SpreadExecutor(Far(), 1, settings).run([read.weights], rates))


def test_files_that_appear_late(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE", 30.0)
    late = tmp_path / "far" / "late"
    timer = threading.Timer(0.2, lambda: (late.parent.mkdir(), late.touch()))
    timer.start()
    assert remote.appears(late)
    timer.join()
    monkeypatch.setattr(remote, "PATIENCE", 0.0)
    assert not remote.appears(tmp_path / "never")


def test_a_machine_of_another_kind(losses, settings_of, tmp_path):
    path, cells = losses
    executor = SpreadExecutor(Here(), 1, settings_of(path, tmp_path / "run"))
    wanted = json.loads(executor._request(cells["works"], {}))
    wanted["environment"]["torch"] = "1.0"
    answer = json.loads(answer_to(json.dumps(wanted)))
    assert re.search(r"could not start: it has torch 2\.\S+ instead of 1\.0, and the bits", answer["error"])
    assert answer["exit_code"] == 2


def test_the_error_of_a_cell_is_told_at_once(losses, settings_of, tmp_path):
    path, cells = losses
    cluster = Here()
    with pytest.raises(CellFailed, match="measuring arm 'raises', seed 0: ValueError: no such luck"):
        list(SpreadExecutor(cluster, 1, settings_of(path, tmp_path / "run")).run([cells["raises"]], {}))
    assert len(cluster.asked) == 1
