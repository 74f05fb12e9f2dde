"""Training in bounded memory: two passes over the corpus in the native core, spilled to sorted runs when it is full.

Pass one counts n-grams, pass two cuts the corpus by them and counts pieces; both are sums of integers, so batches,
jobs, machines and memory do not change the result. A journal beside the runs says what is done, so that a job that
was killed, or whose disk was full, goes on from its last run.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paribus.core.config import digest, to_dict
from paribus.core.errors import ConfigError, ParibusError
from paribus.tokenizer import _native
from paribus.tokenizer.corpus import Documents, batches, documents_of, require_text
from paribus.tokenizer.settings import Settings, check_sizes, memory_bytes
from paribus.tokenizer.tokenizer import Tokenizer, _threads
from paribus.tokenizer.vocabulary import Vocabulary

Progress = Callable[[str, int], None]

# Python, the batches in flight and the reader's buffers; the rest of the memory is the core's.
OVERHEAD = 120 << 20


def train(
    corpus: Any,
    sizes: Sequence[int],
    *,
    memory: int | str = "1GiB",
    jobs: int | None = None,
    work: Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> list[Tokenizer]:
    """One tokenizer for each size, the largest first, from one job.

    corpus: texts (list of str or bytes), paths (pathlib.Path or a list of them), or a function that gives texts.
    sizes: tokens, special ones included, at least 259. A result is a little smaller when pieces turn out unused, and
        much smaller when the corpus does not have so many pieces of min_count.
    memory: resident bytes not to pass, for example "1GiB"; beyond it counts go to disk, at most about 10 bytes for
        each byte of the corpus and typically 2.
    jobs: threads; work: folder for runs and journal, by default a temporary one; progress: called with the pass and
        the bytes done in it.
    settings: the fields of `paribus.tokenizer.settings.Settings`.

    Raises ConfigError and CorpusError for bad input; ParibusError when the disk is full, after which the same call
    with the same `work` goes on.
    """
    job_settings = Settings(**settings)
    ordered = check_sizes(list(sizes))
    documents = documents_of(corpus)
    folder = Path(tempfile.mkdtemp(prefix="paribus-train-")) if work is None else Path(work)
    try:
        job = Job(job_settings, documents, folder, memory_bytes(memory), _threads(jobs), progress or (lambda *_: None))
        return job.run(ordered)
    except OSError as error:
        hint = "nothing is lost: make room and run the same command again with the same work folder"
        raise ParibusError(f"training stopped: {error.strerror or error} ({error.filename}); {hint}") from error
    finally:
        if work is None:
            shutil.rmtree(folder, ignore_errors=True)


class Job:
    """One training in its work folder."""

    def __init__(
        self, settings: Settings, documents: Documents, folder: Path, memory: int, threads: int, progress: Progress
    ) -> None:
        self.settings = settings
        self.documents = documents
        self.folder = folder
        self.memory = memory - OVERHEAD
        self.threads = threads
        self.progress = progress
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = folder / "journal.json"
        fresh = {"schema": "paribus.training/1", "settings": digest(settings), "stage": "ngrams", "passes": {}}
        self.state: dict[str, Any] = json.loads(self.journal.read_text()) if self.journal.exists() else fresh
        if self.state.get("schema") != fresh["schema"] or self.state["settings"] != fresh["settings"]:
            raise ConfigError(f"{folder} holds a job with other settings: name another work folder, or delete it")

    def run(self, sizes: list[int]) -> list[Tokenizer]:
        model = self.count_ngrams()
        counter = self.count_pieces(model)
        self.progress("prune", 0)
        runs = [str(self.folder / name) for name in self.passed("pieces")["runs"]]
        return tokenizers(counter, runs, sizes, self.settings, self.threads, bytes=self.passed("pieces")["bytes"])

    def passed(self, stage: str) -> dict[str, Any]:
        """How far a pass is: documents and bytes that are in its runs."""
        done: dict[str, Any] = self.state["passes"].setdefault(stage, {"documents": 0, "bytes": 0, "runs": []})
        return done

    def count_ngrams(self) -> _native.NgramModel:
        s = self.settings
        counter = _native.NgramPass(s.order, s.isolate_digits, int(self.memory * 0.6), self.threads)
        if self.state["stage"] == "ngrams":
            self._pass("ngrams", counter, lambda size: counter.is_full(size))
            if self.passed("ngrams")["runs"]:  # a job that spills can be resumed after this pass too
                self._spill("ngrams", counter, self.passed("ngrams"), stage="pieces")
        runs = [str(self.folder / name) for name in self.passed("ngrams")["runs"]]
        return counter.finish(runs, s.min_count, int(self.memory * 0.35))

    def count_pieces(self, model: _native.NgramModel) -> _native.PiecePass:
        s = self.settings
        room = max(self.memory - 48 * model.size, self.memory // 4)
        counter = _native.PiecePass(model, s.order, s.isolate_digits, s.segmentation, room, self.threads)
        self._pass("pieces", counter, lambda _: counter.is_full())
        return counter

    def _pass(self, stage: str, counter: Any, is_full: Callable[[int], bool]) -> None:
        done = dict(self.passed(stage))
        held = False  # an empty counter is not written, however large the batch
        for batch in batches(self.documents, self.settings.nfc, skip=done["documents"]):
            size = sum(map(len, batch))
            if held and is_full(size):
                self._spill(stage, counter, done, stage=stage)
            counter.add(batch)
            held = True
            done["documents"] += len(batch)
            done["bytes"] += size
            self.progress(stage, done["bytes"])
        require_text(done["bytes"])
        kept = self.passed(stage)
        kept["documents"], kept["bytes"] = done["documents"], done["bytes"]

    def _spill(self, name: str, counter: Any, done: dict[str, Any], stage: str) -> None:
        """Write what the counter holds as a run, then name it in the journal: only runs named there are read."""
        kept = self.passed(name)
        run = f"{name}-{len(kept['runs'])}.counts"
        counter.write(str(self.folder / run))
        kept["runs"] = [*kept["runs"], run]
        kept["documents"], kept["bytes"] = done["documents"], done["bytes"]
        self.state["stage"] = stage
        partial = self.journal.with_suffix(".part")
        partial.write_text(json.dumps(self.state))
        partial.replace(self.journal)


def tokenizers(
    counter: _native.PiecePass, runs: list[str], sizes: list[int], settings: Settings, threads: int, **about: Any
) -> list[Tokenizer]:
    """Prune the counted pieces, of the runs and of the counter, to vocabularies of these sizes."""
    found = counter.prune(runs, sizes, settings.min_count, settings.max_piece_length, threads)
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
