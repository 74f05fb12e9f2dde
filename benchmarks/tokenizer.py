"""BytePiece beside bytepiece 0.6.3, sentencepiece, Hugging Face tokenizers and tiktoken, in one run on one text.

Every tokenizer learns one vocabulary in this run from nine tenths of all corpora together and is measured on the
held-out rest of each, in documents of about 3 kB, one call a document, through its Python API. Rounds alternate among
the subjects. One-thread figures are CPU time, those of two threads and of the large corpus wall clock. Slow trainers
(bytepiece, and sentencepiece without borders) learn from less text, and ratios are taken on that text; the engines that
run our pieces (bytepiece, Hugging Face Unigram) are checked to give our tokens on every document first.

    python benchmarks/tokenizer.py --out benchmarks/tokenizer.md [--corpus DIR]... [--large DIR]... [--json] [--quick]

By default the corpus is the interpreter's own sources, and the large one all text of the interpreter, its packages and
/usr/share, up to 300 MB of distinct files. Needs: pip install sentencepiece tokenizers tiktoken, and bytepiece with
AHOCORASICK_BYTES=1 (see its README); a peer that is missing is left out and named.
"""

import argparse
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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tokenizer_large
from paribus.text.readers import documents
from paribus.tokenizer.convert import write_bytepiece, write_hugging_face
from paribus.tokenizer.tokenizer import Tokenizer
from paribus.tokenizer.train import train
from paribus.tokenizer.words import words
from report import JSON, WALL, Table, at_least, grid, in_turn, installed, listed, ratios, spent
from tokenizer_peers import byte_level_bpe, sentencepiece_model, tiktoken_of

DOCUMENT = 3000  # characters
BOUNDS = "## What bounds the missed ones"
SLOW_PEER = 1_000_000  # bytes that bytepiece, and sentencepiece without borders, train on
Subject = tuple[str, Callable[[str], Any], Callable[[Any], Any], int]  # name, encode, decode, bytes it is given
Held = dict[str, list[str]]  # corpus -> documents of about 3 kB


def load(folder: Path | None, limit: int) -> tuple[str, list[str], list[str]]:
    """(name, training texts, held-out documents): from each file's text the tenth part in the middle is held out.

    limit: bytes of training text; files are taken in an order drawn once, and cut at 200 kB.
    """
    name = folder.name if folder else "code"
    paths = [folder] if folder else sorted(
        path for path in Path(sysconfig.get_paths()["stdlib"]).rglob("*.py") if "site-packages" not in path.parts
    )  # fmt: skip
    texts: list[str] = []
    for document in documents(paths, longest=200_000, piece=100_000):
        text = document.data.decode("utf-8", "ignore")
        if text:
            texts.append(text)
    random.Random(0).shuffle(texts)
    learned, held, size = [], [], 0
    for text in texts:
        if size > limit:
            break
        middle, tenth = len(text) // 2, len(text) // 20
        learned += [text[: middle - tenth], text[middle + tenth :]]
        held.append(text[middle - tenth : middle + tenth])
        size += size_of(learned[-2:])
    parts = [text[i : i + DOCUMENT] for text in held for i in range(0, len(text), DOCUMENT)]
    return name, [text for text in learned if text], [part for part in parts if part][:500]


def size_of(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def rate(size: int, work: Callable[[], Any]) -> float:
    """MB/s of CPU time, over as many repetitions as a twentieth of a second takes."""
    began = time.process_time()
    times, seconds = 0, 0.0
    while seconds < 0.05:
        work()
        times += 1
        seconds = time.process_time() - began
    return times * size / seconds / 1e6


def expect(table: Table, case: str, peer: str, found: Sequence[float], least: float) -> None:
    table.goal(case, peer, found, least, at_least(least))


def own_model(texts: list[str], pieces: int) -> tuple[Tokenizer, int]:
    """The largest min_count that fills the vocabulary, so that no trainer is starved."""
    for min_count in (32, 16, 8, 4, 2):
        found = train(texts, [pieces], min_count=min_count, jobs=1)[0]
        if found.vocab_size > 0.98 * pieces:
            break
    return found, min_count


def head(texts: list[str], size: int) -> list[str]:
    """The first texts, about so many bytes of them."""
    some: list[str] = []
    for text in texts:
        if size_of(some) >= size:
            break
        some.append(text[:size])
    return some


def measure(learned: list[str], held: Held, options: argparse.Namespace, table: Table) -> Tokenizer:
    pieces, rounds = options.pieces, options.rounds
    trained: dict[str, list[float]] = {}
    own, min_count = own_model(learned, pieces)
    trained["paribus"] = [spent(lambda: train(learned, [pieces], min_count=min_count, jobs=1)) for _ in range(rounds)]
    subjects: list[Subject] = [("paribus", own.encode, own.decode, 1)]
    few = head(random.Random(1).sample(learned, len(learned)), min(SLOW_PEER, options.limit))
    few_pieces = min(8000, pieces)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if installed("tokenizers"):
            from tokenizers import Tokenizer as Engine

            write_hugging_face(own, folder / "tokenizer.json")
            unigram = Engine.from_file(str(folder / "tokenizer.json"))
            found: list[Any] = []
            trained["tokenizers BPE"] = [spent(lambda: found.append(byte_level_bpe(learned, pieces)))]
            bpe = found[0]
            subjects.append(
                ("tokenizers Unigram, our pieces", lambda text: unigram.encode(text).ids, unigram.decode, 8)
            )
            subjects.append(("tokenizers BPE", lambda text: bpe.encode(text).ids, bpe.decode, 8))
            if installed("tiktoken"):
                fast = tiktoken_of(bpe)
                subjects.append(("tiktoken, the same BPE", fast.encode_ordinary, fast.decode_bytes, 1))
        if installed("sentencepiece"):
            made: list[Any] = []
            trained["sentencepiece unigram"] = [
                spent(lambda: made.append(sentencepiece_model(learned, pieces, folder, borders=True)))
            ]
            subjects.append(("sentencepiece unigram", made[0].encode, made[0].decode, 1))
        if installed("bytepiece"):
            import bytepiece

            write_bytepiece(own, folder / "bytepiece.json")
            original = bytepiece.Tokenizer(str(folder / "bytepiece.json"))
            subjects.append(("bytepiece, our pieces", original.encode, original.decode, 8))
        slow_trainers(few, few_pieces, folder, rounds, table)
        speeds = {
            name: encode_and_decode(
                f"{name}, {own.vocab_size} tokens, {len(texts)} documents of about 3 kB", subjects, texts, own, rounds,
                table,
            )
            for name, texts in held.items()
        }  # fmt: skip
    big = f"train, {size_of(learned) / 1e6:.1f} MB of {', '.join(held)}, {pieces} tokens, min_count {min_count}"
    for subject, seconds in trained.items():
        table.row(big, subject, "CPU time", "s", seconds)
    if "sentencepiece unigram" in trained:
        theirs = trained["sentencepiece unigram"][0]
        expect(table, big, "sentencepiece unigram", [theirs / one for one in trained["paribus"]], 8)
    for name, texts in held.items():
        case = f"{name}, {own.vocab_size} tokens, {len(texts)} documents of about 3 kB"
        mine = speeds[name]
        for peer, least in (("bytepiece, our pieces", 40), ("tokenizers Unigram, our pieces", 30)):
            if peer in mine:
                expect(table, f"encode, {case}", peer, ratios(mine["paribus"], mine[peer]), least)
        fast_peers = {p: s for p, s in mine.items() if p.startswith(("sentencepiece", "tiktoken"))}
        if fast_peers:
            peer = max(fast_peers, key=lambda p: statistics.median(fast_peers[p]))
            expect(table, f"encode, {case}", peer, ratios(mine["paribus"], fast_peers[peer]), 3)
        sampling_and_threads(case, own, texts, mine["paribus"], rounds, table)
    word_borders(learned, held, pieces, min_count, table)
    return own


def slow_trainers(texts: list[str], pieces: int, folder: Path, rounds: int, table: Table) -> None:
    """The trainers that need minutes for ten megabytes, on less of it."""
    case = f"train, {size_of(texts) / 1e6:.1f} MB of it, {pieces} tokens, min_count 2"
    ours = [spent(lambda: train(texts, [pieces], min_count=2, jobs=1, segmentation=1)) for _ in range(rounds)]
    table.row(case, "paribus", "CPU time", "s", ours)
    if installed("bytepiece"):
        import bytepiece

        with open(os.devnull, "w") as silent:
            sys.stderr, kept = silent, sys.stderr
            theirs = spent(lambda: bytepiece.Trainer(max_vocab_size=pieces, min_count=2).train(texts))
            sys.stderr = kept
        table.row(case, "bytepiece", "CPU time", "s", [theirs])
        expect(table, case, "bytepiece", [theirs / one for one in ours], 60)
    if installed("sentencepiece"):
        for borders in (True, False):
            label = f"sentencepiece unigram, {'with' if borders else 'without'} borders"
            theirs = spent(lambda b=borders: sentencepiece_model(texts, pieces, folder, b))
            table.row(case, label, "CPU time", "s", [theirs])
            expect(table, case, label, [theirs / one for one in ours], 8)


def encode_and_decode(
    case: str, subjects: list[Subject], held: list[str], own: Tokenizer, rounds: int, table: Table
) -> dict[str, list[float]]:
    shares = {name: held[: max(1, len(held) // share)] for name, _, _, share in subjects}
    for name, encode, _, _ in subjects:
        if name.endswith("our pieces"):
            same = [list(encode(text)) == own.encode(text).tolist() for text in held]
            table.row(f"encode, {case}", name, "documents with our tokens", "%", [100 * sum(same) / len(same)])
        tokens = sum(len(encode(text)) for text in held)
        table.row(f"encode, {case}", name, "compression", "bytes per token", [size_of(held) / tokens])

    def there_and_back(name: str, encode: Callable[[str], Any], decode: Callable[[Any], Any]) -> tuple[float, float]:
        texts = shares[name]
        ids = [encode(text) for text in texts]
        size = size_of(texts)
        return (
            rate(size, lambda: [encode(one) for one in texts]),
            rate(size, lambda: [decode(one) for one in ids]),
        )

    found = in_turn({name: partial(there_and_back, name, to, fro) for name, to, fro, _ in subjects}, rounds)
    speeds = {name: [encoding for encoding, _ in runs] for name, runs in found.items()}
    back = {name: [decoding for _, decoding in runs] for name, runs in found.items()}
    for name in speeds:
        table.row(f"encode, {case}", name, "speed", "MB/s", speeds[name])
        table.row(f"decode, {case}", name, "speed", "MB/s", back[name])
    peers = [name for name in back if name != "paribus"]
    if peers:
        peer = max(peers, key=lambda p: statistics.median(back[p]))
        expect(table, f"decode, {case}", peer, ratios(back["paribus"], back[peer]), 10)
    return speeds


def sampling_and_threads(
    case: str, own: Tokenizer, held: list[str], greedy: list[float], rounds: int, table: Table
) -> None:
    total = size_of(held)
    own.sample(held[0], 0.5, 0)
    drawn = [rate(total, lambda: [own.sample(text, 0.5, 0, i) for i, text in enumerate(held)]) for _ in range(rounds)]
    table.row(f"sample, alpha 0.5, {case}", "paribus", "speed", "MB/s", drawn)
    expect(table, f"sample, alpha 0.5, {case}", "paribus encode", ratios(drawn, greedy), 0.5)
    many = held * max(1, 20_000_000 // total)
    size = size_of(many)
    both = in_turn({n: lambda n=n: size / spent(lambda: own.encode_batch(many, n), WALL) / 1e6 for n in (1, 2)}, rounds)
    for threads, runs in both.items():
        table.row(f"encode_batch, {case}", f"paribus, {threads} threads", "speed, wall clock", "MB/s", runs)
    expect(table, f"encode_batch, {case}, 2 threads", "paribus, 1 thread", ratios(both[2], both[1]), 1.8)


def word_borders(learned: list[str], held: Held, pieces: int, min_count: int, table: Table) -> None:
    """BytePiece kept within words, so that borders are not what is compared."""
    inside = train(
        [word for text in learned for word in words(text.encode())], [pieces], min_count=min_count, jobs=1
    )[0]  # fmt: skip
    for name, texts in held.items():
        tokens = sum(len(ids) for text in texts for ids in inside.encode_batch(words(text.encode()), 1))
        table.row(
            f"encode, {name}, {inside.vocab_size} tokens", "paribus, with borders", "compression", "bytes per token",
            [size_of(texts) / tokens],
        )  # fmt: skip


def worst_cases(own: Tokenizer, options: argparse.Namespace, table: Table) -> None:
    rng = np.random.default_rng(0)
    line = ("x" + " ".join(map(str, rng.integers(0, 1000, 1_000_000)))).encode()
    cases = {
        "1 MB of a": b"a" * 1_000_000,
        "1 MB of ^": b"^" * 1_000_000,
        "1 MB of random bytes": rng.integers(0, 256, 1_000_000, dtype=np.uint8).tobytes(),
    }
    if not options.quick:
        cases["one line of 100 MB"] = (line * (100_000_000 // len(line) + 1))[:100_000_000]
        cases["100 MB of a"] = b"a" * 100_000_000
    for name, data in cases.items():
        runs = [len(data) / spent(lambda d=data: own.encode(d)) / 1e6 for _ in range(min(options.rounds, 3))]
        table.row(name, "paribus", "speed", "MB/s", runs)
        expect(table, name, "10 MB/s", [one / 10 for one in runs], 1)


def loading(own: Tokenizer, rounds: int, table: Table) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.bp"
        own.save(path)
        runs = [1000 * spent(lambda: Tokenizer.load(path), WALL) for _ in range(rounds * 3)]
        table.row(f"load, {path.stat().st_size / 1e6:.1f} MB, {own.vocab_size} tokens", "paribus", "time", "ms", runs)
        expect(table, "load", "5 ms", [5 / one for one in runs], 1)


def machine() -> JSON:
    text = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout if os.name == "posix" else ""
    name = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("Model name")), "")
    return {"processor": name or platform.processor(), "cores": os.cpu_count(), "python": platform.python_version(),
            "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None}  # fmt: skip


def large(folders: list[Path], limit: int, table: Table) -> None:
    """A process of its own trains 64 000 tokens on two threads within 1 GiB."""
    paths = tokenizer_large.distinct(folders, limit)
    size = sum(path.stat().st_size for path in paths)
    done = subprocess.run(
        [sys.executable, tokenizer_large.__file__], input=json.dumps(list(map(str, paths))), text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    case = f"train, {size / 1e6:.0f} MB in {len(paths)} distinct files, 64000 tokens, memory 1GiB, 2 threads"
    for metric, unit in (("wall clock", "s"), ("CPU time", "s"), ("resident at most", "MiB"), ("disk at most", "MB")):
        table.row(case, "paribus", metric, unit, [told[metric]])
    expect(table, case, "60 s for 300 MB", [60 * size / 300e6 / told["wall clock"]], 1)
    expect(table, case, "1 GiB resident", [1024 / told["resident at most"]], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="little text and few rounds, to see that it runs")
    parser.add_argument("--out", type=Path, help="write the table there, in Markdown")
    parser.add_argument(
        "--corpus", type=Path, action="append", help="a folder of text, or the word code; again for more"
    )
    parser.add_argument("--large", type=Path, action="append", help="folders of the large corpus")
    parser.add_argument("--limit", type=int, default=18_000_000, help="bytes of training text, all corpora together")
    parser.add_argument("--pieces", type=int, default=32000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.quick:
        options.limit, options.pieces, options.rounds = 300_000, 1000, 1
    table = Table()
    about = machine()
    learned: list[str] = []
    held: Held = {}
    corpora = options.corpus or [Path("code")]
    for folder in corpora:
        name, texts, documents_ = load(None if folder == Path("code") else folder, options.limit // len(corpora))
        learned += texts
        held[name] = documents_[:20] if options.quick else documents_
    own = measure(learned, held, options, table)
    worst_cases(own, options, table)
    loading(own, options.rounds, table)
    default = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")] + [Path("/usr/share")]
    large(options.large or default, 2_000_000 if options.quick else tokenizer_large.LARGE, table)
    peers = ("paribus", "numpy", "bytepiece", "sentencepiece", "tokenizers", "tiktoken")
    # Of folders the name, since their places are this machine's.
    command = " ".join(["python benchmarks/tokenizer.py", *(Path(word).name for word in sys.argv[1:])])
    found = {package: installed(package) or "not installed, left out" for package in peers}
    result = table.result("tokenizer", command, about, found)
    if options.out:
        options.out.write_text(markdown(result, kept(options.out)), encoding="utf-8")
    print(json.dumps(result, indent=1, ensure_ascii=False) if options.json else markdown(result))


def kept(path: Path) -> list[str]:
    """What was written by hand into an earlier table: its section on what bounds the missed goals."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    begin = text.find(BOUNDS)
    return text[begin : text.index("\n## ", begin + 1)].splitlines() if begin >= 0 else []


def markdown(result: JSON, notes: Sequence[str] = ()) -> str:
    goals = [
        (
            goal["case"],
            goal["peer"],
            f"{goal['ratio_median']:.3g}",
            f"{goal['low']:.3g} to {goal['high']:.3g}",
            goal["goal"],
            "yes" if goal["met"] else "**no**",
        )
        for goal in result["goals"]
    ]
    rows = [
        (
            row["case"],
            row["subject"],
            f"{row['metric']}, {row['unit']}",
            f"{row['median']:.3g}",
            f"{min(row['runs']):.3g} to {max(row['runs']):.3g}",
        )
        for row in result["rows"]
    ]
    lines = ["# The tokenizer beside its peers", "", f"`{result['command']}`", ""]
    lines += [f"{key}: {listed(result[key])}  " for key in ("machine", "versions")]
    lines += ["", "## Goals", grid("| case | peer | ratio | low to high | goal | met |", goals)]
    lines += ["", *notes, *([""] if notes else [])]
    lines += ["## All rows", grid("| case | subject | metric | median | low to high |", rows)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
