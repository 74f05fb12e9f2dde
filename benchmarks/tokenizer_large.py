"""Training on 300 MB within 1 GiB, for the benchmark tokenizer.py: a process of its own, so that memory is its own.

It reads the names of the files, as JSON, on standard input and prints what the training took.
"""

import hashlib
import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from paribus.tokenizer.train import train

LARGE = 300_000_000  # bytes of distinct text


def distinct(folders: list[Path], limit: int) -> list[Path]:
    """Text files of different content under the folders, in an order drawn once, up to so many bytes."""
    suffixes = {
        ".py",
        ".pyi",
        ".h",
        ".hh",
        ".hpp",
        ".c",
        ".cc",
        ".js",
        ".md",
        ".rst",
        ".txt",
        ".html",
        ".pl",
        ".pm",
        ".json",
    }
    found = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in suffixes]
    random.Random(0).shuffle(found)
    seen, kept, size = set(), [], 0
    for path in found:
        if size >= limit:
            break
        if not path.is_file() or path.is_symlink():
            continue
        data = path.read_bytes()
        content = hashlib.blake2b(data, digest_size=16).digest()
        if data and content not in seen and b"\0" not in data[:4096]:
            seen.add(content)
            kept.append(path)
            size += len(data)
    return kept


def resident_at_most() -> float:
    """MiB. Linux hands the maximum of getrusage on from the process that started this one; VmHWM is this one's own."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    paths = [Path(name) for name in json.load(sys.stdin)]
    with tempfile.TemporaryDirectory() as folder:
        disk = [0]

        def look(*_: object) -> None:
            disk.append(sum(path.stat().st_size for path in Path(folder).iterdir()))

        began, spent = time.perf_counter(), time.process_time()
        train(paths, [64000], memory="1GiB", jobs=2, work=Path(folder), progress=look)
        told = {
            "wall clock": time.perf_counter() - began,
            "CPU time": time.process_time() - spent,
            "resident at most": resident_at_most(),
            "disk at most": max(disk) / 1e6,
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
