"""What a plan will cost, and what is refused because it cannot fit."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch

from paribus.core.errors import InputError
from paribus.evaluation.last_tokens import LastTokens
from paribus.evaluation.score import TOKENS_AT_ONCE
from paribus.lab import estimate as lab_estimate
from paribus.lab import room
from paribus.lab.claim import Arm, Measured, Profile
from paribus.lab.estimate import Estimate, check_room, estimate, probe, probe_readings
from paribus.lab.plan import total_cost
from paribus.normalizers.sparsemax import Sparsemax
from paribus.training.price import flops


def test_a_price_before_anything_is_spent(laboratory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = laboratory.plan(profile="tuned")
    one, two = estimate(plan, 1), estimate(plan, 2)
    cells = plan.expected_cells()
    assert one.cells == two.cells == len(cells) == 20
    assert one.flops == total_cost(cells)
    assert one.seconds > 0
    assert one.bytes_per_worker == two.bytes_per_worker > 100 * 2**20
    trained = sum(cell.kind == "train" for cell in cells)
    assert one.disk_bytes > trained * 4 * plan.sized["rotary"].n_parameters
    assert two.disk_bytes > one.disk_bytes
    assert list(tmp_path.iterdir()) == []


def test_more_seeds_cost_more(laboratory):
    few, many = (estimate(laboratory.plan(seeds=seeds), 1) for seeds in (2, 6))
    assert many.flops == pytest.approx(3 * few.flops)
    assert many.disk_bytes > 2 * few.disk_bytes
    assert many.bytes_per_worker == few.bytes_per_worker


def test_the_probe_leaves_no_trace(laboratory):
    plan = laboratory.plan()
    record, _ = laboratory.run(plan, "before")
    assert probe(plan) > 0
    laboratory.root = laboratory.root / "elsewhere"
    again, _ = laboratory.run(plan, "after")
    assert again.results == record.results


CLOCK = [0.0]


class Slow(Sparsemax):
    """Takes a hundred seconds each time, of which its FLOPs say nothing."""

    source = "a test"

    def __call__(self, scores, mask=None):
        CLOCK[0] += 100.0
        return super().__call__(scores, mask)


class Broken(Sparsemax):
    source = "a test"

    def __call__(self, scores, mask=None):
        raise RuntimeError("not today")


def tick():
    CLOCK[0] += 1.0
    return CLOCK[0]


def test_readings_are_priced_by_how_each_arm_reads(laboratory, monkeypatch):
    """Not by the FLOP/s of a training, which says nothing of a dense map."""
    monkeypatch.setattr(lab_estimate.time, "perf_counter", tick)
    plain, config = laboratory.claim.arms[0], laboratory.claim.arms[0].config
    others = [Arm(one.__name__, config.with_mixer(normalizer=one()), reads=plain.name) for one in (Slow, Broken)]
    claim = replace(
        laboratory.claim,
        arms=[plain, *others],
        predicts=[replace(laboratory.claim.predicts[0], arm="Slow", than=plain.name)],
    )
    plan = laboratory.plan(claim)
    readings = probe_readings(plan)
    assert readings.keys() == {plain.name, "Slow"}, "what is broken is told by its own cell"
    work = flops(plan.sized[plain.name].config, 12) * (TOKENS_AT_ONCE // 12)
    assert readings[plain.name].speed == pytest.approx(work / 1.0)
    assert readings["Slow"].speed == pytest.approx(work / 101.0)
    cost = estimate(plan, 1)
    cells = {(cell.kind, cell.arm): cell for cell in plan.expected_cells()}
    read = {arm.name: cells["read", arm.name] for arm in claim.arms}
    assert cost.price(read["Slow"]) == pytest.approx(101 * cost.price(read[plain.name]))
    assert cost.price(read["Broken"]) == read["Broken"].cost / cost.speed
    assert cost.price(cells["train", plain.name]) == cells["train", plain.name].cost / cost.speed
    prices = [cost.price(cell) for cell in plan.expected_cells()]
    assert cost.seconds == pytest.approx(lab_estimate.STARTUP_SECONDS + sum(prices))
    assert estimate(plan, 4).seconds == pytest.approx(lab_estimate.STARTUP_SECONDS + sum(prices) / 4)


def test_dense_readings_need_memory_for_their_scores(laboratory):
    """All pairs of the longest window, where no program of fewer is there; probed at a shorter length."""
    plain, config = laboratory.claim.arms[0], laboratory.claim.arms[0].config
    dense = Arm("dense", config.with_mixer(normalizer=Sparsemax()), reads=plain.name)
    task = replace(laboratory.claim.task, metric=LastTokens(last=6, at=(12, 20_000), windows=2))
    predicts = [replace(laboratory.claim.predicts[0], arm="dense", than=plain.name)]
    plan = laboratory.plan(replace(laboratory.claim, arms=[plain, dense], task=task, predicts=predicts))
    readings = probe_readings(plan)
    assert readings["dense"].bytes > 20_000**2 * 4 * 2  # two heads
    assert readings[plain.name].bytes < 100 * 2**20
    assert estimate(plan, 1).bytes_per_worker > readings["dense"].bytes


def nothing(config, replicate):
    return {"loss@12": 0.0}


def test_measured_claims_have_no_seconds(laboratory):
    claim = replace(
        laboratory.claim,
        arms=[Arm("rotary", {"x": 1}), Arm("none", {"x": 2})],
        task=Measured(measure=nothing, unit="draw", units={"loss@12": "s"}),
        profiles={"laptop": Profile(seeds=range(6))},
    )
    cost = estimate(laboratory.plan(claim), 4)
    assert (cost.cells, cost.seconds) == (12, None)


COST = Estimate(flops=1.0, cells=1, seconds=1.0, bytes_per_worker=2**30, disk_bytes=2**30)


@pytest.fixture(autouse=True)
def _no_container(monkeypatch):
    monkeypatch.setattr(room, "_groups", lambda root, own: [])


def test_memory_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=int(3.5 * 2**30)))
    check_room(COST, 3, tmp_path)
    with pytest.raises(
        InputError, match=r"8 workers need about 8.0 GiB, 3.5 GiB are free on this machine: use --jobs 3"
    ):
        check_room(COST, 8, tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**20))
    with pytest.raises(InputError, match=r"1 worker needs about 1.0 GiB, .* a smaller batch"):
        check_room(COST, 1, tmp_path)


def test_gpus_that_are_too_small(tmp_path, monkeypatch):
    """Workers share the GPUs evenly, and the fullest one decides."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**40))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: ((5 - number) * 2**30, 80 * 2**30))
    cost = replace(COST, device_bytes=2**30)
    check_room(cost, 8, tmp_path)
    with pytest.raises(
        InputError, match=r"5 workers need about 5.0 GiB, 4.0 GiB are free on the fullest GPU: .*jobs 8"
    ):
        check_room(cost, 9, tmp_path)
    check_room(COST, 9, tmp_path)


def test_a_disk_that_is_too_small(tmp_path, monkeypatch):
    asked = []

    def usage(place):
        asked.append(place)
        return SimpleNamespace(free=512 * 2**20)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(
        InputError, match=r"about 1024.0 MiB in .*run, 512.0 MiB are free: free space \(`paribus clean` .*--out"
    ):
        check_room(COST, 1, tmp_path / "not" / "yet" / "run")
    assert asked == [tmp_path]
    (tmp_path / "run" / "cells").mkdir(parents=True)
    with open(tmp_path / "run" / "cells" / "weights", "wb") as file:
        file.truncate(600 * 2**20)  # what the run has already written needs no room any more
    check_room(COST, 1, tmp_path / "run")
