import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus import Tokenizer
from paribus.core.errors import ConfigError, CorpusError, ParibusError
from paribus.tokenizer import _native, corpus, reference_trainer
from paribus.tokenizer import train as train_module
from paribus.tokenizer.digits import RANGES, is_digit_at
from paribus.tokenizer.settings import memory_bytes
from paribus.tokenizer.train import train

MakeTexts = Callable[[int, int, int], list[bytes]]


def counted(tokenizer: Tokenizer) -> dict[bytes, int]:
    own = tokenizer.vocabulary
    return {piece: n for piece, n in zip(own.pieces, own.counts.tolist()) if piece}


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.one_of(st.binary(max_size=60), st.text("ab龘é\n0٧", max_size=60).map(str.encode)), min_size=1, max_size=6
    ),
    st.integers(2, 6),
    st.integers(1, 4),
    st.sampled_from([2, 5, 36]),
    st.booleans(),
    st.sampled_from([1, 2]),
)
def test_native_training_is_the_twins(
    texts: list[bytes], order: int, min_count: int, longest: int, digits: bool, revision: int
) -> None:
    if not any(texts):
        return
    sizes = [300, 270, 259]
    found = train(
        texts, sizes, order=order, min_count=min_count, max_piece_length=longest, isolate_digits=digits,
        segmentation=revision, jobs=2,
    )  # fmt: skip
    expected = reference_trainer.train(texts, sizes, order, longest, min_count, digits, revision)
    assert [list(counted(one).items()) for one in found] == [list(one.items()) for one in expected]


def test_every_piece_encodes_to_itself(make_texts: MakeTexts) -> None:
    for own in train(make_texts(5, 40, 60), [600, 400, 259], min_count=2):
        for i, piece in enumerate(own.pieces):
            if piece and b"\n" not in piece[:-1]:
                assert own.encode(piece).tolist() == [i]


def test_order_jobs_and_batches_change_nothing(make_texts: MakeTexts, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = make_texts(6, 30, 50)
    one = counted(train(texts, [500], min_count=2, jobs=1)[0])
    shuffled = random.Random(0).sample(texts, len(texts))
    monkeypatch.setattr(corpus, "BATCH", 1000)
    assert counted(train(shuffled, [500], min_count=2, jobs=3)[0]) == one
    assert len(one) > 265


def spilling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of about a kilobyte, and a spill before each of them."""
    monkeypatch.setattr(corpus, "BATCH", 1000)
    for name in ("NgramPass", "PiecePass"):
        real = getattr(_native, name)

        class Full:
            def __init__(self, *args: Any, real: Any = real) -> None:
                self.core = real(*args)

            def is_full(self, *_: Any) -> bool:
                return True

            def __getattr__(self, word: str) -> Any:
                return getattr(self.core, word)

        monkeypatch.setattr(_native, name, Full)


@pytest.mark.parametrize("stage", ["ngrams", "pieces"])
def test_spilling_and_resuming_change_nothing(
    make_texts: MakeTexts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: str
) -> None:
    texts = make_texts(7, 30, 40)
    whole = counted(train(texts, [500], min_count=2)[0])
    spilling(monkeypatch)
    assert counted(train(texts, [500], min_count=2)[0]) == whole

    def interrupt(name: str, size: int) -> None:
        if name == stage and size > 5000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(texts, [500], min_count=2, work=tmp_path / "job", progress=interrupt)
    journal = json.loads((tmp_path / "job" / "journal.json").read_text())
    assert journal["stage"] == stage
    assert len(journal["passes"][stage]["runs"]) > 2
    read: list[tuple[str, int]] = []
    again = train(texts, [500], min_count=2, work=tmp_path / "job", progress=lambda *done: read.append(done))
    assert counted(again[0]) == whole
    assert min(size for name, size in read if name == stage) > 5000
    with pytest.raises(ConfigError, match="other settings"):
        train(texts, [500], min_count=3, work=tmp_path / "job")


def test_a_damaged_run_in_the_work_folder_is_told(
    make_texts: MakeTexts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    texts = make_texts(7, 30, 40)
    spilling(monkeypatch)
    train(texts, [500], min_count=2, work=tmp_path)
    run = next(tmp_path.glob("ngrams-*.counts"))
    run.write_bytes(run.read_bytes()[:-9])
    with pytest.raises(ConfigError, match=r"damaged or truncated: delete the work folder .* and begin anew"):
        train(texts, [500], min_count=2, work=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_loses_nothing(make_texts: MakeTexts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import resource

    texts = make_texts(7, 30, 40)
    whole = counted(train(texts, [500], min_count=2)[0])
    spilling(monkeypatch)
    real = train_module.Job._spill
    calls = 0

    def limited(self: Any, *args: Any, **words: Any) -> None:
        nonlocal calls
        calls += 1
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100 if calls == 4 else soft, hard))
        try:
            real(self, *args, **words)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(train_module.Job, "_spill", limited)
    with pytest.raises(ParibusError, match=r"File too large.*nothing is lost") as caught:
        train(texts, [500], min_count=2, work=tmp_path)
    assert caught.value.exit_code == 1
    assert not list(tmp_path.glob("*.part"))
    assert counted(train(texts, [500], min_count=2, work=tmp_path)[0]) == whole


def test_runs_merge_as_if_counted_together(make_texts: MakeTexts, tmp_path: Path) -> None:
    texts = make_texts(8, 20, 40)
    paths = []
    for i in range(3):
        counter = _native.NgramPass(6, False, False, 1 << 28, 2)
        counter.add(texts[i::3])
        paths.append(str(tmp_path / f"{i}.counts"))
        counter.write(paths[-1])
    _native.merge_runs(paths, str(tmp_path / "merged.counts"))
    assert _native.describe_run(paths[0])["kind"] == "n-grams"
    fingerprints = set()
    for runs in (paths, [str(tmp_path / "merged.counts")]):
        fingerprints.add(_native.NgramPass(6, False, False, 1 << 28, 1).finish(runs, 2, 1 << 28).fingerprint)
    together = _native.NgramPass(6, False, False, 1 << 28, 1)
    together.add(texts)
    fingerprints.add(together.finish([], 2, 1 << 28).fingerprint)
    assert len(fingerprints) == 1
    with pytest.raises(_native.FormatError, match="other settings"):
        _native.NgramPass(5, False, False, 1 << 28, 1).finish(paths, 2, 1 << 28)


def test_damaged_runs_are_found(make_texts: MakeTexts, tmp_path: Path) -> None:
    counter = _native.NgramPass(6, False, False, 1 << 28, 1)
    counter.add(make_texts(9, 9, 40))
    run, bad = tmp_path / "run", tmp_path / "bad"
    counter.write(str(run))
    data = run.read_bytes()
    rng = random.Random(3)
    changed = [bytearray(data) for _ in range(60)]
    for one in changed:
        one[rng.randrange(48, len(data))] ^= rng.randrange(1, 256)  # behind the kind and the settings
    for broken in [*map(bytes, changed), data[:-1], data[: len(data) // 2], data + b"x", b"", b"PNG" * 40]:
        bad.write_bytes(broken)
        with pytest.raises(_native.FormatError):
            _native.merge_runs([str(bad)], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(OSError, match="No such file"):
        _native.merge_runs([str(tmp_path / "none")], str(tmp_path / "out"))


def test_a_rare_character_does_not_break_the_line() -> None:
    rare = [chr(0x4E00 + 71 * i) for i in range(60)]
    texts = [f"hello world {letter} hello world again\n".encode() for letter in rare]
    singles = {}
    for revision in (1, 2):
        own = train(texts, [400], min_count=20, segmentation=revision)[0]
        singles[revision] = sum(n for piece, n in counted(own).items() if len(piece) == 1 and piece < b"\x80")
    # The original cuts " hello world again" behind each rare character into its 18 bytes.
    assert singles[1] - singles[2] > 60 * 10


def test_digits_are_isolated_in_all_scripts() -> None:
    rng = random.Random(5)
    years = [f"{rng.choice(['in', 'of', 'by'])} {rng.randint(1990, 2030)} ٢٠{rng.choice('١٢٣')}٣ " for _ in range(900)]
    for alone in (False, True):
        own = Tokenizer.train(years, vocab_size=400, min_count=3, isolate_digits=alone)
        texts = [piece.decode(errors="ignore") for piece in own.pieces]
        assert all(len(text) == 1 for text in texts if any(map(str.isdecimal, text))) is alone


def test_the_digits_of_twin_and_core_agree() -> None:
    edges = sorted({code + step for one in RANGES for code in one for step in (-1, 0, 1)})
    for text in [*(chr(code).encode() for code in edges), b"\xc0\xb0", b"\xe0\x80\xb0", b"\xd9", b"\xf0\x9d\x9f"]:
        data = b"x" + text + b"x"
        counter = _native.NgramPass(6, True, False, 1 << 28, 1)
        counter.add([data])
        chunks = reference_trainer.training_chunks(data, isolate_digits=True)
        assert len(list(chunks)) == (3 if is_digit_at(data, 1) else 1)
        # n-grams within chunks; those of one byte are always 256
        longer = {g for g in reference_trainer.count_ngrams([data], 6, isolate_digits=True) if len(g) > 1}
        singles = {bytes([b]) for b in data}
        assert counter.finish([], 1, 1 << 28).size == len(longer) + len(singles)


def test_long_lines_and_newlines_are_cut() -> None:
    for text in (b"a" * 25_000 + b"\n" * 250 + b"b", "的".encode() * 10_001, b"\x80" * 90_000, b"a" * 10_000 + b"\n"):
        parts = list(reference_trainer.training_chunks(text))
        assert b"".join(parts) == text
        assert max(len(part.strip(b"\n")) for part in parts) <= 40_000
        assert len(parts) == {25_251: 6, 30_003: 2, 90_000: 3, 10_001: 1}[len(text)]
        assert counted(train([text], [300], min_count=2)[0]) == reference_trainer.train([text], [300], min_count=2)[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": 7}, "order = 7"),
        ({"order": 1}, "order = 1"),
        ({"min_count": 0}, "min_count = 0"),
        ({"max_piece_length": 0}, "max_piece_length = 0"),
        ({"segmentation": 3}, "segmentation = 3"),
        ({"memory": "1MiB"}, "at least 256 MiB"),
        ({"memory": "much"}, "expected a size"),
        ({"memory": "1.2.3GiB"}, "expected a size"),
        ({"memory": "."}, "expected a size"),
        ({"memory": "9" * 400}, "at most"),
        ({"memory": 1e9}, r"memory = 1000000000\.0: expected a whole number"),
        ({"memory": None}, "memory = None"),
        ({"min_count": 1 << 70}, "below 2\\^63"),
        ({"jobs": 0}, "jobs = 0"),
        ({"vocab_size": 258}, "at least 259"),
        ({"vocab_size": "300"}, "vocab_size = '300': expected a whole number"),
        ({"vocab_size": 300.5}, r"vocab_size = 300\.5"),
        ({"vocab_size": None}, "vocab_size = None"),
        ({"vocab_size": 1 << 24}, "below 2\\^24"),
    ],
)
def test_impossible_settings(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Tokenizer.train(["some text"], **options)


def test_sizes_are_a_list() -> None:
    for sizes in (300, "300", None):
        with pytest.raises(ConfigError, match="expected a list of whole numbers"):
            train(["some text"], sizes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no vocabulary size"):
        train(["some text"], [])


def test_a_corpus_that_is_none() -> None:
    with pytest.raises(CorpusError, match="empty"):
        Tokenizer.train([])
    with pytest.raises(CorpusError, match="empty"):
        Tokenizer.train([b"", ""])
    with pytest.raises(ConfigError, match="read twice"):
        Tokenizer.train(iter(["text"]))
    with pytest.raises(ConfigError, match="single text"):
        Tokenizer.train("text")


def test_files_and_functions(tmp_path: Path) -> None:
    texts = ["one two two", "two three"] * 20
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.txt").write_text(text)
    direct = counted(Tokenizer.train(texts, vocab_size=300, min_count=3))
    assert counted(Tokenizer.train(tmp_path, vocab_size=300, min_count=3)) == direct
    assert counted(Tokenizer.train(lambda: iter(texts), vocab_size=300, min_count=3)) == direct
    (tmp_path / "notes").write_text("three three three")
    for place in (tmp_path, [tmp_path]):
        words = {"vocab_size": 300, "min_count": 3, "without": [tmp_path / "notes"], "work": tmp_path / "work"}
        for _ in range(2):  # its own work folder is no part of it
            assert counted(Tokenizer.train(place, **words)) == direct


def test_memory_in_words() -> None:
    assert memory_bytes("1GiB") == 1 << 30
    assert memory_bytes("800MB") == 800_000_000
    assert memory_bytes(1 << 29) == 1 << 29
    assert memory_bytes(".5 GiB ") == memory_bytes("0.5gib") == memory_bytes("512 MiB") == 1 << 29
