"""Exact ReRoPE in pieces against RoPE with torch's fused attention: time, memory, and a decoded token.

Every round runs all subjects one after the other, so that they meet the same machine; ratios are taken within a round.
Process CPU time of one thread, float32, batch 1, 9 heads of width 64, a window of a quarter of the length. Memory is
the peak of all tensors alive during a call, q, k and v included, by what each operator returns. The naive
form makes both score matrices; it runs at the shortest length only. One thread.

    python benchmarks/long_context.py [--json] [--quick] [--lengths N ...] [--repeats R]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
import weakref
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from paribus.attention.attend import attend
from paribus.attention.backends import causal_by_kernel
from paribus.attention.caches import RotatedKeys
from paribus.attention.layout import Layout
from paribus.attention.mapped_keys import MappedKeys
from paribus.attention.piecewise import piecewise
from paribus.normalizers.softmax import Softmax
from paribus.ops import kernels
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary
from report import Table, at_most, grid, one_thread, ratios, times, versions

HEADS, HEAD_DIM = 9, 64
ROPE_SDPA, ROPE_OURS, REROPE, NAIVE = "RoPE + SDPA", "RoPE, our kernel", "ReRoPE", "ReRoPE, naive"
SCALE = HEAD_DIM**-0.5
ROPE = Rotary()

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def attentions(n: int, window: int, naive: bool) -> dict[str, Attention]:
    """The subjects: raw q, k, v (1, heads, n, head_dim) -> the attention's output."""
    at = torch.arange(n)[None]
    mapped = Rotary(map=ReRoPE(window=window))

    def rope(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = ROPE.rotate(q, at), ROPE.rotate(k, at)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=SCALE)

    def our_kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return causal_by_kernel(ROPE.rotate(q, at), ROPE.rotate(k, at), v, scale=SCALE)

    def pieces(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = piecewise(
            q,
            k,
            v,
            position=mapped,
            q_positions=at,
            k_positions=at,
            layout=Layout(),
            scale=SCALE,
            normalizer=Softmax(),
        )
        assert out is not None
        return out

    def both_matrices(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        seen = torch.ones(n, n, dtype=torch.bool).tril()
        return attend(mapped.pieces(q, k, at, at, True), v, scale=SCALE, normalizer=Softmax(), mask=seen)

    return {ROPE_SDPA: rope, ROPE_OURS: our_kernel, REROPE: pieces} | ({NAIVE: both_matrices} if naive else {})


def inputs(n: int, gradients: bool) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(1, HEADS, n, HEAD_DIM, generator=random, requires_grad=gradients) for _ in range(3)]


def call(attention: Attention, given: list[Tensor], weigh: Tensor | None) -> None:
    """Forward, and backward where the output has a weight."""
    out = attention(*given)
    if weigh is not None:
        torch.autograd.grad(out, given, weigh)


class Peak(TorchDispatchMode):
    """Follows the bytes of all tensors that operators return, until they are freed.

    Our kernels write into such tensors; what they hold themselves is not seen: some rows of one head a thread.
    """

    knows_kernels = True

    def __init__(self, given: list[Tensor]) -> None:
        super().__init__()
        self.known = {x.untyped_storage()._cdata for x in given}
        self.now = self.peak = sum(x.untyped_storage().nbytes() for x in given)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        found = function(*args, **(kwargs or {}))
        for x in found if isinstance(found, tuple | list) else (found,):
            if not isinstance(x, Tensor):
                continue
            storage = x.untyped_storage()
            place = storage._cdata
            if place in self.known:
                continue
            size = storage.nbytes()
            self.known.add(place)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.freed, place, size)
        return found

    def freed(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.now -= size


def compare(table: Table, case: str, runs: dict[str, list[float]], most: float) -> None:
    ours_to_theirs = ratios(runs[REROPE], runs[ROPE_SDPA])
    table.goal(case, ROPE_SDPA, ours_to_theirs, f"<= {most}", at_most(most), subject=REROPE)


def whole_sequences(table: Table, n: int, repeats: int, naive: bool, most: float | None) -> None:
    subjects = attentions(n, n // 4, naive)
    for words, gradients in (("forward", False), ("forward and backward", True)):
        case = f"{words}, n = {n}, w = {n // 4}"
        given = inputs(n, gradients)
        weigh = torch.randn(given[0].shape) if gradients else None
        works = {name: partial(call, attention, given, weigh) for name, attention in subjects.items()}
        runs = times(works, min(2, repeats))
        works.pop(NAIVE, None)  # too slow for more
        for name, seconds in times(works, repeats - 2).items():
            runs[name] += seconds
        for name, seconds in runs.items():
            table.row(case, name, "time", "s", seconds)
        if most is not None:
            compare(table, case, runs, most)


def memory(table: Table, n: int, gradients: bool, most: float) -> None:
    words = "forward and backward" if gradients else "forward"
    case = f"memory of {words}, n = {n}, w = {n // 4}"
    given = inputs(n, gradients)
    weigh = torch.randn(given[0].shape) if gradients else None
    peaks = {}
    for name, attention in attentions(n, n // 4, naive=False).items():
        with Peak(given if weigh is None else [*given, weigh]) as peak:
            call(attention, given, weigh)
        peaks[name] = [peak.peak / 2**20]
        table.row(case, name, "peak", "MiB", peaks[name])
    compare(table, case, peaks, most)


@torch.no_grad()
def one_token(table: Table, n: int, repeats: int, most: float) -> None:
    """The token n + 1 over a cache of n: rotate, store, attend. All heads have their own keys."""
    case = f"one token after {n}, w = {n // 4}"
    _, keys, values = inputs(n, gradients=False)
    mapped = Rotary(map=ReRoPE(window=n // 4))
    last, room = torch.tensor([[n]]), n + 1
    shape = (1, HEADS, room, HEAD_DIM, torch.float32, torch.device("cpu"))
    rotated, ringed = RotatedKeys(*shape, ROPE), MappedKeys(*shape, mapped)
    at = torch.arange(n)[None]
    rotated.append(ROPE.rotate(keys, at), values, at)
    ringed.append(keys, values, at)
    q, k, v = torch.randn(3, 1, HEADS, 1, HEAD_DIM)
    raw = torch.cat((keys, k), dim=2), torch.cat((values, v), dim=2)

    def rope() -> None:
        rotated.length = n
        stored, read, _ = rotated.append(ROPE.rotate(k, last), v, last)
        F.scaled_dot_product_attention(ROPE.rotate(q, last), stored, read, scale=SCALE)

    def rope_once() -> None:
        rotated.length = n
        stored, read, _ = rotated.append(ROPE.rotate(k, last), v, last)
        kernels.one_query([(ROPE.rotate(q, last), stored, read)], SCALE)

    def ring() -> None:
        ringed.length = n
        ringed.decode(q, k, v, last, SCALE, Softmax(), None)

    def all_keys_again() -> None:
        everywhere = torch.arange(n + 1)[None]
        attend(mapped.pieces(q, raw[0], last, everywhere, True), raw[1], scale=SCALE, normalizer=Softmax())

    subjects = {
        ROPE_SDPA: rope,
        ROPE_OURS: rope_once,
        REROPE: ring,
        "ReRoPE, keys turned at every token": all_keys_again,
    }
    runs = times(subjects, repeats)
    for name, seconds in runs.items():
        table.row(case, name, "time", "s", seconds)
    compare(table, case, runs, most)


def markdown(table: Table) -> str:
    rows = [
        (
            row["case"],
            row["subject"],
            row["metric"],
            *(f"{one:.4g} {row['unit']}" for one in (row["median"], min(row["runs"]), max(row["runs"]))),
        )
        for row in table.rows
    ]
    goals = [
        (
            one["case"],
            one["peer"],
            *(f"{one[ratio]:.3f}" for ratio in ("ratio_median", "low", "high")),
            one["goal"],
            "yes" if one["met"] else "no",
        )
        for one in table.goals
    ]
    return "\n\n".join(
        [
            grid("| case | subject | metric | median | lowest | highest |", rows, " --- "),
            grid("| case | ratio to | median | lowest | highest | goal | met |", goals, " --- "),
        ]
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="short sequences and few rounds, to see that it runs")
    parser.add_argument("--lengths", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    lengths, repeats = ([520, 640], 2) if asked.quick else (asked.lengths, asked.repeats)
    table = Table()
    for place, n in enumerate(lengths):
        # Long sequences take seconds each and vary less.
        rounds = repeats if n <= 8192 else max(3, repeats // 2)
        whole_sequences(table, n, rounds, naive=place == 0, most=1.15 if n <= 8192 else 1.08)
    longest = max(lengths)
    memory(table, longest, False, 1.3)
    memory(table, longest, True, 1.3)
    one_token(table, longest, 10 * repeats, 1.05)
    if asked.json:
        command = " ".join(["benchmarks/long_context.py", *arguments])
        print(json.dumps(table.result("long_context", command, one_thread(), versions("torch")), indent=1))
    else:
        print(markdown(table))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
