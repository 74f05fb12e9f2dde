"""Training over shards on a local cluster of two workers, one killed in the middle included."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paribus.core.errors import ConfigError, CorpusError, MissingExtra, ParibusError
from paribus.tokenizer.on_ray import train
from paribus.tokenizer.train import train as train_here

MakeTexts = Callable[[int, int, int], list[bytes]]


def test_without_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"paribus\[ray\]"):
        train([["text"]], [300], folder=tmp_path)


slow = [
    pytest.mark.slow,
    # Ray leaves sockets and subprocesses to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def on_a_cluster(test: Any) -> Any:
    for mark in slow:
        test = mark(test)
    return test


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="the extra is not installed: make test-cluster installs it")
    ray.init(num_cpus=2, num_gpus=0, log_to_driver=False, include_dashboard=False)
    yield ray
    ray.shutdown()


class Killed:
    """Texts whose first reading ends with the death of the process that reads; `times` of such readings."""

    def __init__(self, texts: list[bytes], note: Path, times: int) -> None:
        self.texts, self.note, self.times = texts, note, times

    def __call__(self) -> Iterator[bytes]:
        for i, text in enumerate(self.texts):
            before = self.note.stat().st_size if self.note.exists() else 0
            if i == len(self.texts) // 2 and before < self.times:
                with self.note.open("ab") as file:
                    file.write(b"x")
                os.kill(os.getpid(), signal.SIGKILL)
            yield text


class Changing:
    """Texts that are others at the second reading."""

    def __init__(self, texts: list[bytes], note: Path) -> None:
        self.texts, self.note = texts, note

    def __call__(self) -> list[bytes]:
        again = self.note.exists()
        self.note.touch()
        return self.texts[::-1] if again else self.texts


@on_a_cluster
def test_the_model_is_that_of_one_machine_though_workers_die(
    cluster: Any, make_texts: MakeTexts, tmp_path: Path
) -> None:
    texts = make_texts(31, 24, 40)
    expected = [one.to_bytes() for one in train_here(texts, [450, 300], min_count=2)]
    corpora: list[Any] = [texts[:3], Killed(texts[3:15], tmp_path / "deaths", 2), texts[15:]]
    told: list[tuple[str, int]] = []
    found = train(
        corpora, [300, 450], folder=tmp_path / "job", memory="300MiB", min_count=2,
        progress=lambda *done: told.append(done),
    )  # fmt: skip
    assert [one.to_bytes() for one in found] == expected
    assert (tmp_path / "deaths").stat().st_size == 2
    size = sum(map(len, texts))
    assert [done for done in told if done[1] == size] == [("ngrams", size), ("pieces", size)]

    # What is counted is not counted again, and other shards do not pass for these.
    folder = tmp_path / "job"
    for name in ("all.pieces", "1.pieces.json"):
        (folder / name).unlink()
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("[0-9].*s")}
    again = train(corpora, [450], folder=folder, memory="300MiB", min_count=2)
    assert again[0].to_bytes() == expected[0]
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("[0-9].*s")}
    assert [name for name in before if before[name] != after[name]] == ["1.pieces"]
    files = tmp_path / "files"
    files.mkdir()
    for i, text in enumerate(texts):
        (files / f"{i:02}").write_bytes(text)
    paths = [files / f"{i:02}" for i in range(24)]
    again = train([paths[:3], paths[3:15], paths[15:]], [450], folder=folder, memory="300MiB", min_count=2)
    assert again[0].to_bytes() == expected[0]
    paths[20].write_bytes(texts[20][::-1])
    for others in ([[b"other"]] * 3, [corpora[1], corpora[0], corpora[2]], [paths[:3], paths[3:15], paths[15:]]):
        with pytest.raises(CorpusError, match="the shard given in its place has"):
            train(others, [450], folder=folder, memory="300MiB", min_count=2)
    with pytest.raises(ConfigError, match="other settings"):
        train(corpora, [300], folder=folder, min_count=3)


@on_a_cluster
def test_a_shard_that_changes_between_its_readings(cluster: Any, make_texts: MakeTexts, tmp_path: Path) -> None:
    texts = make_texts(33, 6, 10)
    changing = Changing(texts, tmp_path / "readings")
    for _ in range(2):  # told of again when it is called again
        with pytest.raises(CorpusError, match=r"not what it was|the shard given in its place"):
            train([texts, changing], [300], folder=tmp_path / "job", memory="300MiB", min_count=2)


@on_a_cluster
def test_a_worker_that_always_dies_and_bad_shards(cluster: Any, make_texts: MakeTexts, tmp_path: Path) -> None:
    texts = make_texts(32, 6, 10)
    dying = Killed(texts, tmp_path / "deaths", 99)
    with pytest.raises(ParibusError, match="lost 2 times"):
        train([texts, dying], [300], folder=tmp_path / "job", memory="300MiB", tries=1)
    assert (tmp_path / "deaths").stat().st_size == 2
    with pytest.raises(CorpusError, match="empty"):
        train([texts, []], [300], folder=tmp_path / "empty", memory="300MiB")


def test_impossible_calls(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match="no shards"):
        train([], [300], folder=tmp_path)
    with pytest.raises(ConfigError, match="tries = -1"):
        train([["x"]], [300], folder=tmp_path, tries=-1)
