"""Training in bounded memory: two passes over the corpus in the native core, spilled to sorted runs when it is full.

Pass one counts n-grams, pass two cuts the corpus by them and counts pieces; both are sums of integers, so batches,
jobs, machines and memory do not change the result. A journal beside the runs says what is done, so that a job that
was killed, or whose disk was full, goes on from its last run.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paribus.core.config import digest, to_dict
from paribus.core.errors import ConfigError, ParibusError
from paribus.tokenizer import _native
from paribus.tokenizer.corpus import Documents, Passed, batches, documents_of, require_same, require_text
from paribus.tokenizer.settings import Settings, check_sizes, memory_bytes
from paribus.tokenizer.tokenizer import Tokenizer, threads_of
from paribus.tokenizer.vocabulary import Vocabulary

Progress = Callable[[str, int], None]

# The interpreter with its libraries, the batches in flight and the reader's buffers; the rest is the core's.
OVERHEAD = 96 << 20
WINDOW = 16  # bytes that counting n-grams takes for a byte of text, while it sorts
MODEL = 32  # bytes of an n-gram of the model
READER = 1 << 20  # bytes for a run that is read
JOURNAL = "journal.json"
_FILES = re.compile(r"journal\.(json|part)|(ngrams|pieces)-[0-9]+-[0-9]+\.counts(\.part)?")
RUNS = 16  # runs of one size are merged into one, so that few files are open at once however large the corpus


def train(
    corpus: Any,
    sizes: Sequence[int],
    *,
    memory: int | str = "1GiB",
    jobs: int | None = None,
    work: Path | None = None,
    progress: Progress | None = None,
    field: str = "text",
    without: Iterable[Path] = (),
    **settings: Any,
) -> list[Tokenizer]:
    """One tokenizer for each size, the largest first, from one job.

    corpus: texts (list of str or bytes), paths (pathlib.Path or a list of them), or a function that gives texts.
    sizes: tokens, special ones included, at least 259. A result is a little smaller when pieces turn out unused, and
        much smaller when the corpus does not have so many pieces of min_count.
    memory: resident bytes not to pass, for example "1GiB", at least 256 MiB; beyond it counts go to disk, for text
        usually less than a byte for each byte of the corpus, at most about 10. 96 MiB of it are for the interpreter,
        its libraries and what is being read; what the process held before beyond some 60 MiB (torch, a list of texts),
        and Parquet's library, come on top.
    jobs: threads; work: folder for runs and journal, by default a temporary one; progress: called with the pass and
        the bytes done in it; field: of JSONL and Parquet files, the one that holds the text.
    without: files and folders that are no part of the corpus though they lie in its folders; `work` is always left out.
    settings: the fields of `paribus.tokenizer.settings.Settings`.

    Raises ConfigError and CorpusError for bad input, and for n-grams or pieces that do not fit the memory; ParibusError
    when the disk is full. After these the same call with the same `work`, or with more memory, goes on.
    """
    job_settings = Settings(**settings)
    ordered = check_sizes(sizes)
    room, threads = memory_bytes(memory), threads_of(jobs, "jobs")
    folder = Path(tempfile.mkdtemp(prefix="paribus-train-")) if work is None else Path(work)
    try:
        documents = documents_of(corpus, field, [*without, folder])
        return Job(job_settings, documents, folder, room, threads, progress or (lambda *_: None)).run(ordered)
    except _native.FormatError as error:
        raise ConfigError(f"{error}: delete the work folder {folder} and begin anew") from error
    except OSError as error:
        hint = "nothing is lost: make room and run the same command again with the same work folder"
        raise ParibusError(f"training stopped: {error.strerror or error} ({error.filename}); {hint}") from error
    finally:
        if work is None:
            shutil.rmtree(folder, ignore_errors=True)


def clear(folder: Path) -> None:
    """Remove the journal and the runs of a training from its work folder, and nothing else."""
    for file in sorted(folder.iterdir(), key=lambda file: file.name != JOURNAL):  # first what names the others
        if _FILES.fullmatch(file.name):
            file.unlink()


def windows_room(room: int) -> int:
    """What counting n-grams is told: what it frees while it sorts may stay resident, half as much again."""
    return room * 2 // 3


@contextmanager
def fitting() -> Iterator[None]:
    """Tell of a limit of memory that is too low."""
    try:
        yield
    except _native.TooSmallError as error:
        raise ConfigError(
            f"{error}; what was counted stays in the work folder, if one was named: `resume` it with more --memory, or "
            "call the same with more memory"
        ) from error


class Job:
    """One training in its work folder."""

    def __init__(
        self, settings: Settings, documents: Documents, folder: Path, memory: int, threads: int, progress: Progress
    ) -> None:
        self.settings = settings
        self.documents = documents
        self.folder = folder
        self.room = memory - OVERHEAD
        self.threads = threads
        self.progress = progress
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = folder / JOURNAL
        fresh = {"schema": "paribus.training/3", "settings": digest(settings), "stage": "ngrams", "passes": {}}
        try:
            self.state: dict[str, Any] = json.loads(self.journal.read_text()) if self.journal.exists() else fresh
        except ValueError as error:
            raise ConfigError(f"{self.journal} is damaged ({error}): delete {folder} and begin anew") from error
        if not isinstance(self.state, dict) or any(self.state.get(k) != fresh[k] for k in ("schema", "settings")):
            raise ConfigError(
                f"{folder} holds a job with other settings or of another version: name another work folder, or delete "
                "it"
            )

    def run(self, sizes: list[int]) -> list[Tokenizer]:
        counter = self.count_pieces(self.count_ngrams())
        self.progress("prune", 0)
        runs = self.runs("pieces")
        left = self.room - counter.memory - READER * len(runs)
        done = self.passed("pieces")["bytes"]
        return tokenizers(counter, runs, sizes, self.settings, self.threads, left, bytes=done)

    def passed(self, stage: str) -> dict[str, Any]:
        """How far a pass is: the bytes that are in its runs, and their check."""
        done: dict[str, Any] = self.state["passes"].setdefault(stage, {"bytes": 0, "crc": 0, "runs": [], "made": 0})
        return done

    def runs(self, stage: str) -> list[str]:
        return [str(self.folder / name) for name in self.passed(stage)["runs"]]

    def count_ngrams(self) -> _native.NgramModel:
        s = self.settings
        counter = _native.NgramPass(s.order, s.isolate_digits, s.nfc, windows_room(self.room), self.threads)
        if self.state["stage"] == "ngrams":
            self._pass("ngrams", counter, counter.is_full)
            require_text(self.passed("ngrams")["bytes"])
            # A job that spills can be resumed after this pass too; and the windows leave room for the model.
            if self.passed("ngrams")["runs"] or counter.size * WINDOW > self.room // 4:
                self._spill("ngrams", counter, Passed(*self._done("ngrams")), stage="pieces")
        runs = self.runs("ngrams")
        left = self.room - counter.size * WINDOW // 2 - READER * len(runs)
        with fitting():
            return counter.finish(runs, s.min_count, max(left, 0))

    def count_pieces(self, model: _native.NgramModel) -> _native.PiecePass:
        s = self.settings
        room = self.room - MODEL * model.size
        counter = _native.PiecePass(model, s.order, s.isolate_digits, s.nfc, s.segmentation, max(room, 0), self.threads)
        self._pass("pieces", counter, lambda _: counter.is_full())
        require_same(Passed(*self._done("pieces")), Passed(*self._done("ngrams")))
        if self.passed("pieces")["runs"]:
            self._spill("pieces", counter, Passed(*self._done("pieces")), stage="pieces")
        return counter

    def _done(self, stage: str) -> tuple[int, int]:
        kept = self.passed(stage)
        return kept["bytes"], kept["crc"]

    def _pass(self, stage: str, counter: Any, is_full: Callable[[int], bool]) -> None:
        done = Passed(*self._done(stage))
        held = False  # an empty counter is not written, however large the batch
        # A batch must not be much of what fits, since fullness is looked at between batches.
        for batch in batches(
            self.documents, self.settings, self.room // (4 * WINDOW), after=Passed(done.size, done.crc)
        ):
            if held and is_full(sum(map(len, batch))):
                self._spill(stage, counter, done, stage=stage)
            counter.add(batch)
            held = True
            for data in batch:
                done.add(data)
            self.progress(stage, done.size)
        kept = self.passed(stage)
        kept["bytes"], kept["crc"] = done.size, done.crc

    def _spill(self, name: str, counter: Any, done: Passed, stage: str) -> None:
        """Write what the counter holds as a run, then name it in the journal: only runs named there are read."""
        kept = self.passed(name)
        run = self._named(name, 0)
        counter.write(str(self.folder / run))
        kept["runs"] = [*kept["runs"], run]
        kept["bytes"], kept["crc"] = done.size, done.crc
        self.state["stage"] = stage
        self._write_journal()
        level = 0
        while len(alike := [run for run in kept["runs"] if _level(run) == level]) >= RUNS:
            merged = self._named(name, level + 1)
            _native.merge_runs([str(self.folder / run) for run in alike], str(self.folder / merged))
            kept["runs"] = [merged, *(run for run in kept["runs"] if run not in alike)]
            self._write_journal()
            for run in alike:
                (self.folder / run).unlink()
            level += 1

    def _named(self, name: str, level: int) -> str:
        kept = self.passed(name)
        kept["made"] += 1
        return f"{name}-{level}-{kept['made']}.counts"

    def _write_journal(self) -> None:
        partial = self.journal.with_suffix(".part")
        partial.write_text(json.dumps(self.state))
        partial.replace(self.journal)


def _level(run: str) -> int:
    return int(run.split("-")[1])


def tokenizers(
    counter: _native.PiecePass,
    runs: list[str],
    sizes: list[int],
    settings: Settings,
    threads: int,
    memory: int,
    **about: Any,
) -> list[Tokenizer]:
    """Prune the counted pieces, of the runs and of the counter, to vocabularies of these sizes."""
    with fitting():
        found = counter.prune(runs, sizes, settings.min_count, settings.max_piece_length, threads, max(memory, 0))
    chosen = {**to_dict(settings), **about}
    chosen.pop("part")
    return [
        Tokenizer.from_vocabulary(
            Vocabulary.from_counts(
                dict(zip(pieces, counts.tolist())), nfc=settings.nfc, training={**chosen, "vocab_size": size}
            )
        )
        for size, (pieces, counts) in zip(sizes, found)
    ]
