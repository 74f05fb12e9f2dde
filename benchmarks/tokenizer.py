"""BytePiece beside bytepiece 0.6.3, sentencepiece, Hugging Face tokenizers and tiktoken, in one run on one text.

Every tokenizer learns its vocabulary in this run from nine tenths of each corpus and is measured on the held-out rest,
in documents of about 3 kB, one call a document, through its Python API. Rounds alternate among the subjects. One-thread
figures are CPU time, two-thread and memory figures are of the whole process. bytepiece trains on less text, and the
ratio is taken on that text; the engines that run our pieces (bytepiece, Hugging Face Unigram) are checked to give our
tokens on every document first.

    python benchmarks/tokenizer.py [--json] [--corpus DIR]... [--pieces 32000] [--rounds 5]

By default the corpus is the interpreter's own sources. Needs: pip install sentencepiece tokenizers tiktoken, and
bytepiece with AHOCORASICK_BYTES=1 (see its README); a peer that is missing is left out and named.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paribus.text.readers import documents
from paribus.tokenizer.convert import write_bytepiece, write_hugging_face
from paribus.tokenizer.tokenizer import Tokenizer
from paribus.tokenizer.train import train

DOCUMENT = 3000  # characters
SLOW_PEER = 1_000_000  # bytes that bytepiece trains on
Subject = tuple[str, Callable[[str], Any], Callable[[Any], Any], int]  # name, encode, decode, bytes it is given


def load(folder: Path | None) -> tuple[str, list[str], list[str]]:
    """(name, training texts, held-out documents): from each file's text the tenth part in the middle is held out."""
    name = folder.name if folder else "code"
    paths = [folder] if folder else sorted(
        path for path in Path(sysconfig.get_paths()["stdlib"]).rglob("*.py") if "site-packages" not in path.parts
    )  # fmt: skip
    learned, held = [], []
    for document in documents(paths):
        try:
            text = document.data.decode()
        except UnicodeDecodeError:
            continue
        middle, tenth = len(text) // 2, len(text) // 20
        learned += [text[: middle - tenth], text[middle + tenth :]]
        held.append(text[middle - tenth : middle + tenth])
    parts = [text[i : i + DOCUMENT] for text in held for i in range(0, len(text), DOCUMENT)]
    random.Random(0).shuffle(parts)
    return name, [text for text in learned if text], parts[:700]


def size_of(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


class Table:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.goals: list[dict[str, Any]] = []

    def add(self, case: str, subject: str, metric: str, unit: str, runs: Sequence[float]) -> list[float]:
        median = statistics.median(runs)
        row = {"case": case, "subject": subject, "metric": metric, "unit": unit, "runs": list(runs), "median": median}
        self.rows.append(row)
        return list(runs)

    def goal(self, case: str, peer: str, ours: Sequence[float], theirs: Sequence[float], goal: float) -> None:
        """ours / theirs, round by round."""
        ratios = [a / b for a, b in zip(ours, theirs)]
        median = statistics.median(ratios)
        self.goals.append(
            {"case": case, "subject": "paribus", "peer": peer, "ratio_median": median, "low": min(ratios),
             "high": max(ratios), "goal": goal, "met": median >= goal}
        )  # fmt: skip


def cpu(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def rate(size: int, work: Callable[[], Any]) -> float:
    """MB/s of CPU time, over as many repetitions as a twentieth of a second takes."""
    began = time.process_time()
    times = 0
    while True:
        work()
        times += 1
        spent = time.process_time() - began
        if spent >= 0.05:
            return times * size / spent / 1e6


def wall(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def own_model(texts: list[str], pieces: int) -> tuple[Tokenizer, int]:
    """The largest min_count that fills the vocabulary, so that no trainer is starved."""
    for min_count in (32, 16, 8, 4, 2):
        found = train(texts, [pieces], min_count=min_count, jobs=1)[0]
        if found.vocab_size > 0.98 * pieces:
            break
    return found, min_count


def sentencepiece_model(texts: list[str], pieces: int, folder: Path, borders: bool) -> Any:
    import sentencepiece

    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    (folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8", errors="replace")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "lines.txt"), model_prefix=str(folder / "sp"), vocab_size=pieces, model_type="unigram",
        normalization_rule_name="identity", byte_fallback=True, add_dummy_prefix=False, num_threads=1,
        remove_extra_whitespaces=False, character_coverage=0.9995, max_sentence_length=100_000,
        allow_whitespace_only_pieces=True, split_by_whitespace=borders, split_by_unicode_script=borders,
        split_by_number=borders, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "sp.model"))


def byte_level_bpe(texts: list[str], pieces: int) -> Any:
    from tokenizers import Tokenizer as Engine
    from tokenizers import decoders, models, pre_tokenizers, trainers

    engine = Engine(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    engine.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    engine.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=pieces, initial_alphabet=alphabet, show_progress=False)
    )
    return engine


def tiktoken_of(engine: Any) -> Any:
    """The same merges in tiktoken's engine."""
    import tiktoken

    from paribus.tokenizer.convert import byte_letters

    byte_of = {letter: byte for byte, letter in enumerate(byte_letters())}
    ranks = {bytes(byte_of[letter] for letter in word): rank for word, rank in engine.get_vocab().items()}
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    return tiktoken.Encoding("own", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def measure(name: str, learned: list[str], held: list[str], pieces: int, rounds: int, table: Table) -> None:
    case = f"{name}, {pieces} tokens, {len(held)} documents of about 3 kB"
    total = size_of(held)
    trained: dict[str, list[float]] = {}
    megabytes = size_of(learned) / 1e6
    own, min_count = own_model(learned, pieces)
    trained["paribus"] = [cpu(lambda: train(learned, [pieces], min_count=min_count, jobs=1)) for _ in range(rounds)]
    subjects: list[Subject] = [("paribus", own.encode, own.decode, total)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if version("tokenizers"):
            from tokenizers import Tokenizer as Engine

            write_hugging_face(own, folder / "tokenizer.json")
            unigram = Engine.from_file(str(folder / "tokenizer.json"))
            found: list[Any] = []
            trained["tokenizers BPE"] = [cpu(lambda: found.append(byte_level_bpe(learned, pieces)))]
            bpe = found[0]
            subjects.append(
                ("tokenizers Unigram, our pieces", lambda text: unigram.encode(text).ids, unigram.decode, total // 8)
            )
            subjects.append(("tokenizers BPE", lambda text: bpe.encode(text).ids, bpe.decode, total // 8))
            if version("tiktoken"):
                fast = tiktoken_of(bpe)
                subjects.append(("tiktoken, the same BPE", fast.encode_ordinary, fast.decode_bytes, total))
        if version("sentencepiece"):
            for borders in (True, False):
                label = f"sentencepiece unigram, {'with' if borders else 'without'} borders"
                made: list[Any] = []
                trained[label] = [
                    cpu(lambda b=borders, m=made: m.append(sentencepiece_model(learned, pieces, folder, b)))
                ]
                subjects.append((label, made[0].encode, made[0].decode, total))
        if version("bytepiece"):
            import bytepiece

            write_bytepiece(own, folder / "bytepiece.json")
            original = bytepiece.Tokenizer(str(folder / "bytepiece.json"))
            subjects.append(("bytepiece, our pieces", original.encode, original.decode, total // 8))
            less: list[str] = []
            for text in learned:
                if size_of(less) >= SLOW_PEER:
                    break
                less.append(text[:SLOW_PEER])
            with open(os.devnull, "w") as silent:
                sys.stderr, kept = silent, sys.stderr
                theirs = cpu(lambda: bytepiece.Trainer(max_vocab_size=8000, min_count=2).train(less))
                sys.stderr = kept
            ours = [cpu(lambda: train(less, [8000], min_count=2, jobs=1, segmentation=1)) for _ in range(rounds)]
            small = f"train, {name}, {size_of(less) / 1e6:.1f} MB, 8000 tokens, min_count 2"
            table.add(small, "paribus", "CPU time", "s", ours)
            table.add(small, "bytepiece", "CPU time", "s", [theirs])
            table.goal(small, "bytepiece", [theirs / one for one in ours], [1.0] * rounds, 60)
        speeds = encode_and_decode(case, subjects, held, own, rounds, table)
    big = f"train, {name}, {megabytes:.1f} MB, {pieces} tokens, min_count {min_count}"
    for subject, seconds in trained.items():
        table.add(big, subject, "CPU time", "s", seconds)
        if subject.startswith("sentencepiece"):
            table.goal(big, subject, [seconds[0] / one for one in trained["paribus"]], [1.0] * rounds, 8)
    word_borders(case, learned, held, pieces, min_count, table)
    for peer, goal in (("bytepiece, our pieces", 40), ("tokenizers Unigram, our pieces", 30)):
        if peer in speeds:
            table.goal(f"encode, {case}", peer, speeds["paribus"], speeds[peer], goal)
    fast = {p: s for p, s in speeds.items() if p.startswith(("sentencepiece", "tiktoken"))}
    if fast:
        peer = max(fast, key=lambda p: statistics.median(fast[p]))
        table.goal(f"encode, {case}", peer, speeds["paribus"], fast[peer], 3)
    sampling_and_threads(case, own, held, speeds["paribus"], rounds, table)


def encode_and_decode(
    case: str, subjects: list[Subject], held: list[str], own: Tokenizer, rounds: int, table: Table
) -> dict[str, list[float]]:
    speeds: dict[str, list[float]] = {subject[0]: [] for subject in subjects}
    back: dict[str, list[float]] = {subject[0]: [] for subject in subjects}
    shares = {name: held[: max(1, len(held) * share // size_of(held))] for name, _, _, share in subjects}
    for name, encode, _, _ in subjects:
        if name.endswith("our pieces"):
            same = [list(encode(text)) == own.encode(text).tolist() for text in held]
            table.add(f"encode, {case}", name, "documents with our tokens", "%", [100 * sum(same) / len(same)])
        tokens = sum(len(encode(text)) for text in held)
        table.add(f"encode, {case}", name, "compression", "bytes per token", [size_of(held) / tokens])
    for _ in range(rounds):
        for name, encode, decode, _ in subjects:
            texts = shares[name]
            ids = [encode(text) for text in texts]
            speeds[name].append(rate(size_of(texts), lambda e=encode, t=texts: [e(one) for one in t]))
            back[name].append(rate(size_of(texts), lambda d=decode, i=ids: [d(one) for one in i]))
    for name in speeds:
        table.add(f"encode, {case}", name, "speed", "MB/s", speeds[name])
        table.add(f"decode, {case}", name, "speed", "MB/s", back[name])
    peers = [name for name in back if name != "paribus"]
    if peers:
        peer = max(peers, key=lambda p: statistics.median(back[p]))
        table.goal(f"decode, {case}", peer, back["paribus"], back[peer], 10)
    return speeds


def sampling_and_threads(
    case: str, own: Tokenizer, held: list[str], greedy: list[float], rounds: int, table: Table
) -> None:
    total = size_of(held)
    own.sample(held[0], 0.5, 0)
    drawn = [rate(total, lambda: [own.sample(text, 0.5, 0, i) for i, text in enumerate(held)]) for _ in range(rounds)]
    table.add(f"sample, alpha 0.5, {case}", "paribus", "speed", "MB/s", drawn)
    table.goal(f"sample, alpha 0.5, {case}", "paribus encode", drawn, greedy, 0.5)
    many = held * max(1, 20_000_000 // total)
    both: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for threads in (1, 2):
            both[threads].append(size_of(many) / wall(lambda n=threads: own.encode_batch(many, n)) / 1e6)
    for threads, runs in both.items():
        table.add(f"encode_batch, {case}", f"paribus, {threads} threads", "speed, wall clock", "MB/s", runs)
    table.goal(f"encode_batch, {case}, 2 threads", "paribus, 1 thread", both[2], both[1], 1.8)


def word_borders(case: str, learned: list[str], held: list[str], pieces: int, min_count: int, table: Table) -> None:
    """BytePiece kept within the words of the BPE, so that borders are not what is compared."""
    import re

    # Python's re has no \p{L}: letters are word characters that are no digits and no underscore.
    pattern = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
    inside = train([word for text in learned for word in pattern.findall(text)], [pieces], min_count=min_count, jobs=1)[
        0
    ]
    tokens = sum(len(ids) for text in held for ids in inside.encode_batch(pattern.findall(text), 1))
    table.add(f"encode, {case}", "paribus, with borders", "compression", "bytes per token", [size_of(held) / tokens])


def worst_cases(own: Tokenizer, rounds: int, table: Table) -> None:
    rng = np.random.default_rng(0)
    line = ("x" + " ".join(map(str, rng.integers(0, 1000, 1_000_000)))).encode()
    cases = {
        "1 MB of a": b"a" * 1_000_000,
        "1 MB of ^": b"^" * 1_000_000,
        "1 MB of random bytes": rng.integers(0, 256, 1_000_000, dtype=np.uint8).tobytes(),
        "one line of 100 MB": (line * (100_000_000 // len(line) + 1))[:100_000_000],
        "100 MB of a": b"a" * 100_000_000,
    }
    for name, data in cases.items():
        runs = [len(data) / cpu(lambda d=data: own.encode(d)) / 1e6 for _ in range(min(rounds, 3))]
        table.add(name, "paribus", "speed", "MB/s", runs)
        table.goal(name, "10 MB/s", runs, [10.0] * len(runs), 1)


def loading(own: Tokenizer, rounds: int, table: Table) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.bp"
        own.save(path)
        runs = [1000 * wall(lambda: Tokenizer.load(path)) for _ in range(rounds * 3)]
        table.add(f"load, {path.stat().st_size / 1e6:.1f} MB, {own.vocab_size} tokens", "paribus", "time", "ms", runs)
        table.goal("load", "5 ms", [5.0] * len(runs), runs, 1)


def machine() -> dict[str, Any]:
    text = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout if os.name == "posix" else ""
    name = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("Model name")), "")
    return {"processor": name or platform.processor(), "cores": os.cpu_count(), "python": platform.python_version(),
            "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--corpus", type=Path, action="append")
    parser.add_argument("--pieces", type=int, default=32000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    table = Table()
    about = machine()
    own: Tokenizer | None = None
    for folder in options.corpus or [None]:
        name, learned, held = load(folder)
        measure(name, learned, held, options.pieces, options.rounds, table)
        own = own or own_model(learned, options.pieces)[0]
    assert own is not None
    worst_cases(own, options.rounds, table)
    loading(own, options.rounds, table)
    peers = ("paribus", "numpy", "bytepiece", "sentencepiece", "tokenizers", "tiktoken")
    result = {
        "schema": "paribus.benchmark/1",
        "name": "tokenizer",
        "command": "python benchmarks/tokenizer.py " + " ".join(sys.argv[1:]),
        "machine": about,
        "versions": {package: version(package) or "not installed, left out" for package in peers},
        "rows": table.rows,
        "goals": table.goals,
    }
    if options.json:
        print(json.dumps(result, indent=1, ensure_ascii=False))
        return
    print(f"{about}\n{result['versions']}\n")
    print("| case | subject | metric | median | low to high |\n|---|---|---|---|---|")
    for row in table.rows:
        span = f"{min(row['runs']):.3g} to {max(row['runs']):.3g}"
        what = f"{row['metric']}, {row['unit']}"
        print(f"| {row['case']} | {row['subject']} | {what} | {row['median']:.3g} | {span} |")
    print("\n| case | peer | ratio | low to high | goal | met |\n|---|---|---|---|---|---|")
    for goal in table.goals:
        span = f"{goal['low']:.3g} to {goal['high']:.3g}"
        met = "yes" if goal["met"] else "no"
        print(f"| {goal['case']} | {goal['peer']} | {goal['ratio_median']:.3g} | {span} | {goal['goal']} | {met} |")


if __name__ == "__main__":
    main()
