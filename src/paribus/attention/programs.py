"""Which program computes causal attention fastest here: measured once for each shape and machine, and kept.

A measurement may fall out otherwise the next time, and another program gives other bits. So what was found is written
down in two places: beside the checkpoint of the run, which goes on with it wherever it stopped, and in the cache of the
user, from which later runs on this machine take it. Where no `Programs` are at work nothing is measured.

    {"schema": "paribus.programs/1", "machine": {...}, "shapes": {SHAPE: {PROGRAM: milliseconds, ...}, ...}}

`overheard` tells which programs computed, whether they were measured or taken by rule, and why.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import platformdirs
import torch
from torch import Tensor

from paribus.ops import _kernels

SCHEMA = "paribus.programs/1"
ROUNDS = 3  # the fastest of them counts: other work on the machine only adds to a time
HOPELESS = 4.0  # times the fastest, at the first try
# Scores (batch x heads x n x n) below which the choice matters less than its measurement: the rule decides.
FEW = 2**20

Times = dict[str, float]  # program -> milliseconds of a forward and a backward pass
Heard = dict[str, list[str]]  # shape -> the programs that computed it, each with its reason
Program = Callable[[Tensor, Tensor, Tensor], Tensor]


def machine() -> dict[str, str]:
    """What a time depends on, besides the shape."""
    return {
        "processor": _processor(),
        "system": platform.system(),
        "torch": torch.__version__,
        "kernels": _kernels.compiled_for,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    names = ("model name", "cpu family", "model", "stepping")
    return " ".join(value.strip() for key, value in sorted(told.items()) if key.strip() in names)


class Programs:
    """What was measured. record: the file of this run, or None; cache: that of this machine, by default the user's."""

    def __init__(self, record: Path | None = None, cache: Path | None = None) -> None:
        if cache is None:
            cache = platformdirs.user_cache_path("paribus") / "programs.json"
        self.record, self.cache = record, cache
        self.own = _read(record)
        here = _read(cache)
        self.known = here["shapes"] if here["machine"] == machine() else {}

    def times(self, shape: str, programs: Mapping[Any, Program], like: tuple[Tensor, Tensor, Tensor]) -> Times:
        """How long each of the programs takes for tensors like these, measured now if it never was."""
        own: Times = self.own["shapes"].get(shape, {})
        if not own.keys() & programs.keys():
            own = self.known.get(shape, {})
            if not programs.keys() <= own.keys():  # what was found without one of them says nothing of it
                own = self.known[shape] = _measure(programs, like)
                _write(self.cache, {"machine": machine(), "shapes": self.known})
            self.own["shapes"][shape] = own
            _write(self.record, {"machine": machine(), "shapes": self.own["shapes"]})
        return {program: each for program, each in own.items() if program in programs}

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let attention choose its program by measurement inside."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


def _read(path: Path | None) -> dict[str, Any]:
    empty: dict[str, Any] = {"schema": SCHEMA, "machine": {}, "shapes": {}}
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path is not None else empty
    except (OSError, ValueError):  # absent or damaged: it is measured again
        return empty
    return found if isinstance(found, dict) and found.get("schema") == SCHEMA else empty


def _write(path: Path | None, content: dict[str, Any]) -> None:
    """Whole or not at all; a folder that cannot be written only costs the next measurement."""
    if path is None:
        return
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps({"schema": SCHEMA, **content}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()


def _measure(programs: Mapping[Any, Program], like: tuple[Tensor, Tensor, Tensor]) -> Times:
    with torch.enable_grad():
        own = [x.detach().requires_grad_() for x in like]

        def time_of(program: Program) -> float:
            began = time.perf_counter()
            out = program(own[0], own[1], own[2])
            torch.autograd.grad(out, own, torch.ones_like(out))
            return 1000 * (time.perf_counter() - began)

        times = {name: time_of(program) for name, program in programs.items()}  # warms up, and leaves out the hopeless
        near = [name for name in programs if times[name] <= HOPELESS * min(times.values())]
        found: dict[str, list[float]] = {name: [] for name in near}
        for _ in range(ROUNDS if len(near) > 1 else 0):
            for name in near:
                found[name].append(time_of(programs[name]))
    return {name: round(min(found.get(name) or [times[name]]), 3) for name in programs}


_current: ContextVar[Programs | None] = ContextVar("programs", default=None)
_heard: ContextVar[Heard | None] = ContextVar("heard", default=None)


def current() -> Programs | None:
    """The programs at work, if choices are to be measured."""
    return _current.get()


@contextmanager
def overheard() -> Iterator[Heard]:
    """What attention inside is computed by, and why; it fills as the work goes on. A compiled model tells nothing."""
    heard: Heard = {}
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def tell(why: str, q: Tensor, k: Tensor, v: Tensor) -> None:
    """Note for whoever listens by what program attention of this shape is computed; `why` begins with its name."""
    if torch.compiler.is_compiling() or (heard := _heard.get()) is None:
        return
    reasons = heard.setdefault(shape_of(q, k, v), [])
    if why not in reasons:
        reasons.append(why)


def shape_of(q: Tensor, k: Tensor, v: Tensor) -> str:
    """What a time depends on; lengths up to a power of two, since changing ones would be measured without end."""
    (batch, heads, n, width), kind = q.shape, q.device.type
    up_to = 2 ** (n - 1).bit_length()
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else q.dtype
    return (
        f"batch {batch}, heads {heads} / {k.shape[1]}, length to {up_to}, width {width} / {v.shape[3]}, "
        f"{str(dtype).removeprefix('torch.')}, threads {torch.get_num_threads()}"
    )
