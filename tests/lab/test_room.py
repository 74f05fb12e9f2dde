"""Memory that a container or a job may take, and disk that a run may fill."""

from types import SimpleNamespace

import psutil
import pytest

from paribus.lab.room import free_disk, free_memory

GIB = 2**30


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16 * GIB))


def group(place, files, limit, use, stat):
    place.mkdir(parents=True, exist_ok=True)
    (place / files[0]).write_text(f"{limit}\n")
    (place / files[1]).write_text(f"{use}\n")
    (place / "memory.stat").write_text(stat)


V2, V1 = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")


def test_the_machine_is_the_bound(tmp_path):
    assert free_memory(tmp_path, tmp_path / "none") == (16 * GIB, "on this machine")
    (tmp_path / "self").write_text("0::/\n")
    assert free_memory(tmp_path, tmp_path / "self") == (16 * GIB, "on this machine")
    group(tmp_path, V2, "max", GIB, "inactive_file 0\n")
    assert free_memory(tmp_path, tmp_path / "self") == (16 * GIB, "on this machine")
    group(tmp_path, V2, 64 * GIB, GIB, "inactive_file 0\n")
    assert free_memory(tmp_path, tmp_path / "self") == (16 * GIB, "on this machine")


def test_a_container_is_the_bound(tmp_path):
    """What the files that were read take is given back when it is needed."""
    (tmp_path / "self").write_text("0::/host/path/of/it\n")
    group(tmp_path, V2, 4 * GIB, 3 * GIB, f"anon 1\ninactive_file {GIB}\n")
    assert free_memory(tmp_path, tmp_path / "self") == (2 * GIB, "of the 4.0 GiB of this container or job")


def test_the_narrowest_of_nested_groups_counts(tmp_path):
    (tmp_path / "self").write_text("0::/slurm/job7/step0\n")
    group(tmp_path / "slurm" / "job7", V2, 3 * GIB, GIB, "inactive_file 0\n")
    group(tmp_path / "slurm" / "job7" / "step0", V2, "max", GIB, "inactive_file 0\n")
    assert free_memory(tmp_path, tmp_path / "self")[0] == 2 * GIB


def test_version_one_of_the_groups(tmp_path):
    (tmp_path / "self").write_text("5:cpu,cpuacct:/a\n4:memory:/a\n")
    group(tmp_path / "memory" / "a", V1, 2 * GIB, 3 * GIB, "total_inactive_file 0\n")
    assert free_memory(tmp_path, tmp_path / "self")[0] == 0
    group(tmp_path / "memory" / "a", V1, 2**63 - 4096, 3 * GIB, "total_inactive_file 0\n")
    assert free_memory(tmp_path, tmp_path / "self") == (16 * GIB, "on this machine")


def test_what_a_run_holds_needs_no_room_any_more(tmp_path):
    (tmp_path / "run").mkdir()
    with open(tmp_path / "run" / "weights", "wb") as file:
        file.truncate(10**12)
    assert free_disk(tmp_path / "run") - free_disk(tmp_path / "not" / "yet") > 9 * 10**11
