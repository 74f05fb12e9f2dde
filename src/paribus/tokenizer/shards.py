"""Training on several machines: each counts its shard, the counts merge exactly, and the last step needs no corpus.

    count_ngrams(shard, a.ngrams) ...   merge([a.ngrams, b.ngrams], all.ngrams)
    count_pieces(shard, all.ngrams, a.pieces) ...   merge([a.pieces, b.pieces], all.pieces)
    finish(all.ngrams, all.pieces, sizes)

The vocabulary is that of `train` on all shards together.
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from paribus.core.errors import ConfigError
from paribus.tokenizer import _native
from paribus.tokenizer.corpus import Passed, batches, documents_of, require_text
from paribus.tokenizer.settings import Settings, check_sizes, memory_bytes
from paribus.tokenizer.tokenizer import Tokenizer, threads_of
from paribus.tokenizer.train import MODEL, OVERHEAD, READER, RUNS, WINDOW, Progress, fitting, tokenizers, windows_room

Paths = Sequence[str | os.PathLike[str]]


def count_ngrams(
    corpus: Any,
    out: str | os.PathLike[str],
    settings: Settings,
    memory: int | str = "1GiB",
    jobs: int | None = None,
    progress: Progress | None = None,
    field: str = "text",
    without: Iterable[Path] = (),
) -> Passed:
    """Count the n-grams of a shard into a file; the bytes counted and their check.

    settings: only order, isolate_digits and nfc matter here.
    field: of JSONL and Parquet files, the one that holds the text.
    without: files and folders that are no part of the corpus though they lie in its folders, as `out` never is.
    """
    room = memory_bytes(memory) - OVERHEAD
    counter = _native.NgramPass(
        settings.order, settings.isolate_digits, settings.nfc, windows_room(room), threads_of(jobs, "jobs")
    )
    return _count("ngrams", corpus, out, settings, counter, counter.is_full, progress, field, without, room)


def count_pieces(
    corpus: Any,
    ngrams: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: Settings,
    memory: int | str = "1GiB",
    jobs: int | None = None,
    progress: Progress | None = None,
    field: str = "text",
    without: Iterable[Path] = (),
) -> Passed:
    """Cut a shard by the n-grams of all shards and count its pieces into a file; the bytes counted and their check."""
    room = memory_bytes(memory) - OVERHEAD
    model = _ngram_model(ngrams, settings, room)
    left = max(room - MODEL * model.size, 0)
    counter = _native.PiecePass(
        model,
        settings.order,
        settings.isolate_digits,
        settings.nfc,
        settings.segmentation,
        left,
        threads_of(jobs, "jobs"),
    )
    left_out = [*without, Path(ngrams)]
    return _count(
        "pieces", corpus, out, settings, counter, lambda _: counter.is_full(), progress, field, left_out, room
    )


def merge(paths: Paths, out: str | os.PathLike[str]) -> None:
    """Counts of one kind and of equal settings into one file, in the memory of a buffer for each."""
    _require_counts(paths)
    try:
        _native.merge_runs([os.fspath(path) for path in paths], os.fspath(out))
    except _native.FormatError as error:
        raise ConfigError(f"cannot merge: {error}; merge files that `count` made with the same settings") from error


def finish(
    ngrams: str | os.PathLike[str],
    pieces: str | os.PathLike[str],
    sizes: Sequence[int],
    settings: Settings,
    memory: int | str = "1GiB",
    jobs: int | None = None,
) -> list[Tokenizer]:
    """The tokenizers of these counts, the largest size first."""
    ordered = check_sizes(sizes)
    _require_counts([pieces])
    room = memory_bytes(memory) - OVERHEAD
    model = _ngram_model(ngrams, settings, room)
    counter = _native.PiecePass(
        model,
        settings.order,
        settings.isolate_digits,
        settings.nfc,
        settings.segmentation,
        1 << 20,
        threads_of(jobs, "jobs"),
    )
    size = model.counted
    del model  # the counter alone holds it, and gives it up
    try:
        return tokenizers(counter, [os.fspath(pieces)], ordered, settings, threads_of(jobs, "jobs"), room, bytes=size)
    except _native.FormatError as error:
        raise ConfigError(f"{error}; the pieces must be counted with these n-grams and settings") from error


def _ngram_model(path: str | os.PathLike[str], settings: Settings, memory: int) -> _native.NgramModel:
    counter = _native.NgramPass(settings.order, settings.isolate_digits, settings.nfc, 1 << 20, 1)
    _require_counts([path])
    try:
        with fitting():
            return counter.finish([os.fspath(path)], settings.min_count, max(memory - READER, 0))
    except _native.FormatError as error:
        raise ConfigError(str(error)) from error


def _require_counts(paths: Paths) -> None:
    for path in paths:
        if not Path(path).is_file():
            raise ConfigError(f"there is no file {os.fspath(path)}: name files that `count` or `merge` made")


def _count(
    stage: str,
    corpus: Any,
    out: Any,
    settings: Settings,
    counter: Any,
    is_full: Any,
    progress: Progress | None,
    field: str,
    without: Iterable[Path],
    room: int,
) -> Passed:
    done = Passed()
    target = Path(out)
    left_out = [*without, target, target.with_name(f"{target.name}.part")]
    with tempfile.TemporaryDirectory(prefix=target.name, dir=target.parent) as folder:
        runs: list[str] = []

        def spill() -> None:
            made = len(list(Path(folder).iterdir()))
            counter.write(run := str(Path(folder) / f"{made}-{done.size}.counts"))
            runs.append(run)
            if len(runs) > RUNS:
                merge(runs, whole := str(Path(folder) / f"{made}-{done.size}.merged"))
                for one in runs:
                    Path(one).unlink()
                runs[:] = [whole]

        for batch in batches(documents_of(corpus, field, [*left_out, Path(folder)]), settings, room // (4 * WINDOW)):
            size = sum(map(len, batch))
            if done.size and is_full(size):
                spill()
            counter.add(batch)
            for data in batch:
                done.add(data)
            if progress:
                progress(stage, done.size)
        require_text(done.size)
        if runs:
            spill()
            merge(runs, target)
        else:
            counter.write(str(target))
    return done
