"""Training keeps to the memory that it was given."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paribus.core.errors import ConfigError, CorpusError
from paribus.tokenizer import corpus, shards
from paribus.tokenizer import train as train_module
from paribus.tokenizer.corpus import Passed, batches
from paribus.tokenizer.settings import Settings
from paribus.tokenizer.train import train

MakeTexts = Callable[[int, int, int], list[bytes]]

TRAINING = """
import sys
from pathlib import Path
from paribus.cli.tokenizer import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_the_smallest_limit_holds(tmp_path: Path) -> None:
    """Ten megabytes of many words: the n-grams spill, and many pieces are kept."""
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz" * 3 + "的一是在不了有和人这"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(200_000)]
    out = tmp_path / "m.bp"
    with (tmp_path / "text").open("w", encoding="utf-8") as file:
        for _ in range(8):
            file.write(" ".join(rng.choices(words, k=170_000)) + "\n")
    line = ["train", str(tmp_path / "text"), "--memory", "256MiB", "--jobs", "2", "--min-count", "4", "-o", str(out)]
    done = subprocess.run([sys.executable, "-c", TRAINING, *line], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 256 << 10
    assert out.exists()


def held(texts: list[bytes], limit: int, settings: Settings = Settings(), **words: Any) -> list[bytes]:  # noqa: B008
    return [part for batch in batches(lambda: texts, settings, limit, **words) for part in batch]


def test_long_documents_come_in_parts_that_change_nothing(
    make_texts: MakeTexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [b"".join(make_texts(3, 20, 300)), "的".encode() * 30_000 + b"\n\n\n12", b"\x80" * 90_000, b"", b"a"]
    for digits in (False, True):
        monkeypatch.setattr(corpus, "BATCH", 8 << 20)
        whole = train(texts, [500], min_count=2, isolate_digits=digits)[0]
        monkeypatch.setattr(corpus, "BATCH", 5000)
        parts = held(texts, 5000, Settings(isolate_digits=digits))
        assert b"".join(parts) == b"".join(texts)
        assert len(parts) > 12
        assert max(map(len, parts)) < 5000 + 40_000
        assert train(texts, [500], min_count=2, isolate_digits=digits)[0].to_bytes() == whole.to_bytes()


def test_reading_goes_on_in_the_middle() -> None:
    texts = [b"one\ntwo\n", b"three\n" * 9, b"four"]
    whole = b"".join(texts)
    for size in range(len(whole) + 1):
        after = Passed()
        after.add(whole[:size])
        assert b"".join(held(texts, 7, after=after)) == whole[size:]
    for wrong in (Passed(3, 1), Passed(len(whole) + 1, 0)):
        with pytest.raises(CorpusError, match="not what it was"):
            held(texts, 7, after=wrong)


def test_a_corpus_that_changes_between_the_passes(make_texts: MakeTexts) -> None:
    texts = make_texts(4, 6, 40)
    readings = [texts, texts[:-1]]
    with pytest.raises(CorpusError, match="not what it was"):
        train(lambda: readings.pop(0), [300], min_count=2)
    once = iter(texts)
    with pytest.raises(CorpusError, match="not what it was"):
        train(lambda: once, [300], min_count=2)


def test_runs_are_merged_by_the_dozen(make_texts: MakeTexts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = make_texts(5, 40, 40)
    whole = train(texts, [500], min_count=2)[0].to_bytes()
    monkeypatch.setattr(corpus, "BATCH", 1000)
    monkeypatch.setattr(train_module, "OVERHEAD", (256 << 20) - (1 << 16))
    monkeypatch.setattr(train_module, "READER", 0)
    monkeypatch.setattr(train_module, "RUNS", 3)
    monkeypatch.setattr(train_module, "MODEL", 0)
    real = train_module._native.NgramPass

    class Full:
        """A counter that is always full."""

        def __init__(self, *args: Any) -> None:
            self.core = real(*args)

        def is_full(self, _: int) -> bool:
            return True

        def __getattr__(self, word: str) -> Any:
            return getattr(self.core, word)

    monkeypatch.setattr(train_module._native, "NgramPass", Full)
    work = tmp_path / "job"
    with pytest.raises(ConfigError, match=r"do not fit the memory given.*`resume` it with more --memory"):
        train(texts, [500], min_count=1, memory="256MiB", work=work)
    levels = [train_module._level(path.name) for path in work.glob("ngrams-*.counts")]
    assert max(levels) >= 2
    assert all(levels.count(level) < 3 for level in levels)
    assert train(texts, [500], min_count=2, work=tmp_path / "other")[0].to_bytes() == whole


def test_a_damaged_journal_is_told(make_texts: MakeTexts, tmp_path: Path) -> None:
    (tmp_path / "journal.json").write_text('{"schema": ')
    with pytest.raises(ConfigError, match=r"journal\.json is damaged"):
        train(make_texts(5, 4, 40), [300], work=tmp_path)


def test_shards_merge_their_runs_too(make_texts: MakeTexts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = make_texts(5, 40, 40)
    shards.count_ngrams(texts, tmp_path / "whole", Settings())
    monkeypatch.setattr(corpus, "BATCH", 1000)
    monkeypatch.setattr(shards, "OVERHEAD", (256 << 20) - (1 << 15))
    monkeypatch.setattr(shards, "RUNS", 2)
    shards.count_ngrams(texts, tmp_path / "parts", Settings(), memory="256MiB")
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    with pytest.raises(ConfigError, match="there is no file"):
        shards.merge([tmp_path / "none"], tmp_path / "x")
