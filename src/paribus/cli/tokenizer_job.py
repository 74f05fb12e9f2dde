"""A training as the command line runs it: kept in its work folder, so that `resume` needs nothing else."""

import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from paribus.core.config import Part, canonical_json, from_dict
from paribus.core.errors import ConfigError, InputError
from paribus.tokenizer.settings import Settings, check_sizes, memory_bytes
from paribus.tokenizer.train import JOURNAL, clear, train

if TYPE_CHECKING:
    from paribus.tokenizer.tokenizer import Tokenizer
    from paribus.tokenizer.train import Progress

JOB = "job.json"
SPOOL, SPOOLING = "stdin.txt", "stdin.part"
SETTINGS = ("order", "max_piece_length", "min_count", "isolate_digits", "nfc", "segmentation")
_WORDS = {"ngrams": "counting n-grams", "pieces": "counting pieces", "prune": "choosing pieces"}


class TrainJob(Part):
    """What `train` was asked for. corpus, out: absolute paths; "-" is standard input, kept in the work folder."""

    corpus: tuple[str, ...]
    sizes: tuple[int, ...]
    out: str
    memory: str
    jobs: int | None
    order: int
    max_piece_length: int
    min_count: int
    isolate_digits: bool
    nfc: bool
    segmentation: int
    field: str = "text"

    def check(self) -> None:
        check_sizes(self.sizes)
        memory_bytes(self.memory)
        Settings(**{name: getattr(self, name) for name in SETTINGS})

    def begin(self, work: Path) -> None:
        """Run it in its folder, where the same job goes on and nothing that is not its own is touched."""
        self._check_places(work)
        fresh = not work.is_dir() or not any(work.iterdir())
        if not fresh:
            kept = self.read(work)
            if not (work / JOURNAL).exists():
                # The job ended before anything was counted: its standard input is not this one's.
                (work / SPOOL).unlink(missing_ok=True)
            elif "-" in self.corpus or kept != self:
                raise ConfigError(f"{work} holds a job: `paribus tokenizer resume {work}` it, or delete the folder")
        try:
            self.run(work)
        except InputError:
            if fresh and work.is_dir() and not (work / JOURNAL).exists():
                _clear(work)
            raise

    @classmethod
    def read(cls, work: Path) -> "TrainJob":
        try:
            job: TrainJob = from_dict(cls, json.loads((work / JOB).read_text()))
        except OSError as error:
            raise ConfigError(f"{work} is no work folder of a training: expected {JOB} in it; name another") from error
        except (ValueError, ConfigError) as error:
            raise ConfigError(
                f"{work / JOB} tells of no training that this version knows ({error}): name another work folder"
            ) from error
        return job

    def _check_places(self, work: Path) -> None:
        """Raise InputError before any work if the models or the folder could not be written."""
        for path in models_of(self.sizes, Path(self.out)):
            check_out(path)
            if work.resolve() in (path.resolve(), *path.resolve().parents):
                raise InputError(
                    f"--out {path} lies in the work folder {work}, which is for the training's own files: name another "
                    "place"
                )
        if work.exists() and not work.is_dir():
            raise InputError(f"{work} is a file, where the work folder should be: name another with --work")
        if not work.absolute().parent.is_dir():
            raise InputError(f"{work}: there is no folder {work.absolute().parent}; make it first")

    def run(self, work: Path, memory: str | None = None, jobs: int | None = None) -> None:
        """memory, jobs: in place of those that were asked for."""
        self._check_places(work)
        work.mkdir(exist_ok=True)
        (work / JOB).write_text(canonical_json(self))
        paths = [_spool(work) if name == "-" else Path(name) for name in self.corpus]
        models = models_of(self.sizes, Path(self.out))
        with display() as progress:
            found = train(
                paths,
                self.sizes,
                memory=memory or self.memory,
                jobs=self.jobs if jobs is None else jobs,
                work=work,
                progress=progress,
                field=self.field,
                without=[*models, *(path.with_name(f"{path.name}.part") for path in models)],
                **{name: getattr(self, name) for name in SETTINGS},
            )
        save(found, self.sizes, Path(self.out))
        _clear(work)


def check_out(out: Path) -> None:
    """Raise InputError before any work if a file could not be written there."""
    if out.is_dir():
        raise InputError(f"{out} is a folder: name a file in it")
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.absolute().parent}; make it first")


def models_of(sizes: Sequence[int], out: Path) -> list[Path]:
    """One file, or one for each size, the largest first, with the size in its name."""
    ordered = sorted(set(sizes), reverse=True)
    return [out] if len(ordered) == 1 else [out.with_name(f"{out.stem}.{size}{out.suffix}") for size in ordered]


def save(found: Sequence["Tokenizer"], sizes: Sequence[int], out: Path) -> None:
    for path, tokenizer in zip(models_of(sizes, out), found):
        tokenizer.save(path)
        sys.stderr.write(f"{path}: {tokenizer.vocab_size} tokens\n")


CLAIM = """\
from paribus.claims.tokenizer.bytepiece import on
from paribus.text.corpora import Folder

claim = on({{{word!r}: Folder(path={path!r})}}, size={size}, limit={limit}, count={count})
"""


def write_claim(target: Path, word: str, corpus: Path, size: int, limit: int, count: int) -> None:
    """A file with the tokenizers' claim on a text of the user's."""
    if not corpus.exists():
        raise InputError(f"there is no {corpus}: name a folder or a file of text")
    if target.suffix != ".py":
        raise InputError(f"--out {target}: a claim is a Python file, name it with .py")
    if target.exists():
        raise InputError(f"{target} is there already: choose another --out")
    path = str(corpus.resolve())
    target.write_text(CLAIM.format(word=word, path=path, size=size, limit=limit, count=count), encoding="utf-8")


def _spool(work: Path) -> Path:
    """Standard input as a file, since it is read twice."""
    target = work / SPOOL
    if not target.exists():
        partial = work / SPOOLING
        with partial.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        partial.replace(target)
    return target


def _clear(work: Path) -> None:
    """Remove what a job wrote into its folder, and the folder if nothing else is in it."""
    clear(work)
    for name in (SPOOL, SPOOLING, JOB):
        (work / name).unlink(missing_ok=True)
    with suppress(OSError):  # it holds other files, or is a link or a mounted disk
        work.rmdir()


@contextmanager
def display() -> "Iterator[Progress]":
    """The pass, the megabytes done and their rate: one line on a terminal, otherwise a line every ten seconds."""
    live = sys.stderr.isatty()
    began: dict[str, float] = {}
    shown = 0.0

    def progress(stage: str, done: int) -> None:
        nonlocal shown
        now = time.monotonic()
        fresh = stage not in began
        start = began.setdefault(stage, now)
        if not fresh and now - shown < (0.2 if live else 10.0):
            return
        shown = now
        rate = f" at {done / (now - start) / 1e6:.1f} MB/s" if now > start else ""
        text = f"{_WORDS[stage]}: {done / 1e6:.1f} MB{rate}" if done else _WORDS[stage]
        sys.stderr.write(f"\r\033[K{text}" if live else f"{text}\n")
        sys.stderr.flush()

    yield progress
    if live and shown:
        sys.stderr.write("\r\033[K")
