"""Training on a Ray cluster: shards are counted where there is room, and the counts merge exactly.

    from paribus.tokenizer.on_ray import train

    train([[Path("a.jsonl.zst")], [Path("b.jsonl.zst")]], [32000], folder=Path("/shared/job"))[0].save("my.bp")

The cluster is the one that RAY_ADDRESS or `ray start` names, or else a new one on this machine. Counts lie in a folder
that all machines see. The model is, bit by bit, that of `paribus.tokenizer.train.train` on all shards together.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paribus.core.config import digest
from paribus.core.errors import ConfigError, CorpusError, ParibusError, optional
from paribus.tokenizer import shards
from paribus.tokenizer.corpus import Passed, batches, documents_of, require_same
from paribus.tokenizer.settings import Settings, check_sizes, memory_bytes
from paribus.tokenizer.tokenizer import Tokenizer
from paribus.tokenizer.train import Progress

EXTRA = "ray"


def train(
    corpora: Sequence[Any],
    sizes: Sequence[int],
    *,
    folder: Path,
    memory: int | str = "1GiB",
    jobs: int = 1,
    tries: int = 3,
    progress: Progress | None = None,
    **settings: Any,
) -> list[Tokenizer]:
    """One tokenizer for each size, the largest first.

    corpora: the shards, each what `train` takes as a corpus: paths that every machine sees, texts, or a function that
        gives texts. Their division changes nothing but the speed.
    folder: for counts, seen by all machines. The same call goes on from the shards that are counted there; these are
        read again, which costs less than counting, and other text in them is refused.
    memory, jobs: of one task: resident bytes and threads; Ray is told of both.
    tries: how often a shard is begun again when its worker dies, before ParibusError is raised.
    progress: called with the pass and the bytes of the shards that are done.
    settings: the fields of `paribus.tokenizer.settings.Settings`.

    Raises MissingExtra without Ray, and the errors of `train`.
    """
    ray = optional("ray", EXTRA)
    chosen = Settings(**settings)
    ordered = check_sizes(list(sizes))
    if not corpora:
        raise ConfigError("there are no shards: name at least one")
    if tries < 0 or jobs < 1:
        raise ConfigError(f"tries = {tries}, jobs = {jobs}: expected at least 0 and at least 1")
    folder = _job_folder(folder, chosen, len(corpora))
    ours = not ray.is_initialized()
    if ours:
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    try:
        remote = ray.remote(num_cpus=jobs, memory=memory_bytes(memory), max_retries=tries)
        told = progress or (lambda *_: None)
        words = (chosen, memory, jobs, folder)
        count = remote(_ngrams)
        ngrams = [folder / f"{i}.ngrams" for i in range(len(corpora))]
        tasks = [count.remote(one, out, *words) for one, out in zip(corpora, ngrams)]
        passed = _gather(ray, tasks, "ngrams", told)
        # Merging needs a machine's disk rather than its memory, and all shards: it is one task.
        whole = folder / "all.ngrams"
        ray.get(remote(_merge).remote(ngrams, whole))
        count = remote(_pieces)
        pieces = [folder / f"{i}.pieces" for i in range(len(corpora))]
        tasks = [count.remote(one, whole, out, done, *words) for one, out, done in zip(corpora, pieces, passed)]
        _gather(ray, tasks, "pieces", told)
        ray.get(remote(_merge).remote(pieces, folder / "all.pieces"))
        told("prune", 0)
        return shards.finish(whole, folder / "all.pieces", ordered, chosen, memory, jobs)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, ParibusError) else error) from error
    except ray.exceptions.RayError as error:
        raise ParibusError(
            f"a shard's worker was lost {tries + 1} times ({str(error).strip().splitlines()[0]}); the shards counted "
            f"so far are kept in {folder}: run the same again, or give each task more memory"
        ) from error
    finally:
        if ours:
            ray.shutdown()


def _job_folder(folder: Path, settings: Settings, n: int) -> Path:
    """The folder with a note of what is counted in it; one with other counts is refused."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    note = json.dumps({"schema": "paribus.training-shards/2", "settings": digest(settings), "shards": n})
    path = folder / "job.json"
    if path.exists() and path.read_bytes() != note.encode():
        raise ConfigError(
            f"{folder} holds counts of other settings, of another number of shards or of another version: name another "
            "folder, or delete it"
        )
    path.write_text(note)
    return folder


def _gather(ray: Any, tasks: list[Any], stage: str, progress: Progress) -> list[Passed]:
    """Wait for all tasks, whichever is ready first; what each of them counted."""
    total, left = 0, tasks
    while left:
        ready, left = ray.wait(left, num_returns=1)
        total += sum(one.size for one in ray.get(ready))
        progress(stage, total)
    found: list[Passed] = ray.get(tasks)
    return found


def _ngrams(corpus: Any, out: Path, settings: Settings, memory: int | str, jobs: int, folder: Path) -> Passed:
    counted = _kept(out)
    if counted is None:
        return _note(out, shards.count_ngrams(corpus, out, settings, memory, jobs, without=[folder]))
    found = Passed()
    for batch in batches(documents_of(corpus, without=[folder]), settings):
        for data in batch:
            found.add(data)
    if (found.size, found.crc) != (counted.size, counted.crc):
        raise CorpusError(
            f"{out} counts a shard of {counted.size} bytes, CRC {counted.crc:08x}; the shard given in its place has "
            f"{found.size} bytes, CRC {found.crc:08x}: give the same shards in the same order, or name another folder"
        )
    return counted


def _pieces(
    corpus: Any, ngrams: Path, out: Path, read: Passed, settings: Settings, memory: int | str, jobs: int, folder: Path
) -> Passed:
    """read: what of the shard went by when its n-grams were counted."""
    counted = _kept(out)
    if counted is None:
        counted = _note(out, shards.count_pieces(corpus, ngrams, out, settings, memory, jobs, without=[folder]))
    require_same(counted, read)
    return counted


def _note(out: Path, counted: Passed) -> Passed:
    """Files of counts are written whole, and after them what they count."""
    note = _note_of(out)
    partial = note.with_suffix(".part")
    partial.write_text(json.dumps([counted.size, counted.crc]))
    partial.replace(note)
    return counted


def _kept(out: Path) -> Passed | None:
    note = _note_of(out)
    return Passed(*json.loads(note.read_text())) if out.exists() and note.exists() else None


def _note_of(out: Path) -> Path:
    return out.with_suffix(f"{out.suffix}.json")


def _merge(paths: list[Path], out: Path) -> None:
    if not out.exists():
        shards.merge(paths, out)
