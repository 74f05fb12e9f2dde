"""What a plan will cost, and what is refused because it cannot fit."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch

from paribus.core.errors import InputError
from paribus.lab import room
from paribus.lab.claim import Arm, Measured, Profile
from paribus.lab.estimate import Estimate, check_room, estimate, probe
from paribus.lab.plan import total_cost


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


def test_measured_claims_have_no_seconds(laboratory):
    claim = replace(
        laboratory.claim,
        arms=[Arm("rotary", {"x": 1}), Arm("none", {"x": 2})],
        task=Measured(measure=lambda config, replicate: {"loss@12": 0.0}, unit="draw", units={"loss@12": "s"}),
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
