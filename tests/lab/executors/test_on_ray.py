"""Ray: two workers on this machine, one killed in the middle included. `make test-cluster` brings Ray and runs it."""

import time

import psutil
import pytest

from paribus.core.errors import CellFailed, ConfigError
from paribus.lab.executors.base import TRIES, Finished
from paribus.lab.executors.on_ray import RayCluster, ray_executor

ray = pytest.importorskip("ray", reason="the extra is not installed: make test-cluster installs it")
pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and subprocesses to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _two_workers():
    ray.init(num_cpus=2, num_gpus=0, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


def test_the_grid_on_two_workers(grid):
    grid.run(lambda settings: ray_executor(2, settings))


def test_a_killed_worker_is_tried_again(losses, settings_of, tmp_path):
    path, cells = losses
    executor = ray_executor(2, settings_of(path, tmp_path / "run"))
    events = list(executor.run([cells["once"], cells["works"]], {}))
    executor.close()
    assert {event.cell.arm for event in events if isinstance(event, Finished)} == {"once", "works"}
    assert (tmp_path / "once").stat().st_size == 2
    assert executor.lost == {cells["once"].digest: 1}


def test_a_worker_that_hangs_is_stopped(losses, settings_of, tmp_path):
    path, cells = losses
    executor = ray_executor(2, settings_of(path, tmp_path / "run") | {"timeout": 3.0})
    events = list(executor.run([cells["hangs once"], cells["works"]], {}))
    executor.close()
    assert {event.cell.arm for event in events if isinstance(event, Finished)} == {"hangs once", "works"}
    assert (tmp_path / "hangs once").stat().st_size == 2
    assert executor.lost == {cells["hangs once"].digest: 1}


def test_a_worker_that_is_always_killed(losses, settings_of, tmp_path):
    path, cells = losses
    executor = ray_executor(2, settings_of(path, tmp_path / "run"))
    with pytest.raises(CellFailed, match=r"'always', seed 0: its worker was lost 3 times.*worker died"):
        list(executor.run([cells["always"]], {}))
    executor.close()
    assert (tmp_path / "always").stat().st_size == TRIES


def test_close_cancels(losses, settings_of, tmp_path):
    """A cell at work is stopped with its process, and the cluster of others goes on."""
    path, cells = losses
    executor = ray_executor(2, settings_of(path, tmp_path / "run"))
    with pytest.raises(CellFailed, match="no such luck"):
        for _ in executor.run([cells["waits"], cells["raises"]], {}):
            pass
    until = time.monotonic() + 60
    while not (tmp_path / "waits").exists() and time.monotonic() < until:
        time.sleep(0.1)

    def at_work():
        return [one for one in psutil.process_iter(["name"]) if one.info["name"].startswith("ray::answer_to")]

    assert at_work()
    executor.close()
    while at_work() and time.monotonic() < until:
        time.sleep(0.1)
    assert not at_work()
    assert ray.is_initialized()


def test_a_cluster_without_gpus(settings_of, tmp_path):
    with pytest.raises(ConfigError, match="the Ray cluster has none"):
        RayCluster({**settings_of("x", tmp_path), "device": "cuda"})
