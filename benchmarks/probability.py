"""Normalizers and losses beside their peers: the package entmax, the plain losses, the published formulas.

    python benchmarks/probability.py --out benchmarks/probability.md [--json] [--quick] [--only entmax,...]

About four minutes on an idle machine; --quick, half a minute, only shows that it runs.

Times are CPU seconds of one thread (so that other work on the machine counts little), forward and backward, subjects in
turn within every round; ratios are taken within rounds. Memory is the growth of the peak resident size over a step, in
a process of its own.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.losses.multilabel import MultilabelCrossEntropy
from paribus.losses.output.cross_entropy import CrossEntropy
from paribus.losses.output.earth_mover import EarthMover
from paribus.losses.sparse_multilabel import SparseMultilabelCrossEntropy
from paribus.normalizers.alpha_entmax import AlphaEntmax
from paribus.normalizers.entmax15 import Entmax15
from paribus.normalizers.sparsemax import Sparsemax
from paribus.normalizers.topk.exponential import ExponentialTopK
from paribus.normalizers.topk.laplace import LaplaceTopK
from paribus.normalizers.topk.sigmoid import SigmoidTopK
from paribus.ops.bisect import bisect
from paribus.ops.entmax_reference import entmax_by_bisection
from report import JSON, Table, at_least, at_most, in_turn, machine, page, ratios, spent, timed, versions

ROWS, COLUMNS = 64, 32768
WIDTH, VOCABULARY = 576, 131072
GUESSES = (50, 100, 200, 512, 1024)
EPS = torch.finfo(torch.float32).eps


def entmax(table: Table, options: argparse.Namespace) -> None:
    """Forward and backward at 64 x 32768, float32, against the package: its default, and its best k."""
    import entmax as package

    kinds: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, Callable[[Tensor], Tensor]]]] = {
        "sparsemax": (
            Sparsemax(),
            {"default": package.sparsemax} | {f"k={k}": lambda x, k=k: package.sparsemax(x, k=k) for k in GUESSES},
        ),
        "entmax-1.5": (
            Entmax15(),
            {"default": package.entmax15} | {f"k={k}": lambda x, k=k: package.entmax15(x, k=k) for k in GUESSES},
        ),
        "entmax-1.25": (AlphaEntmax(alpha=1.25), {"default": lambda x: package.entmax_bisect(x, alpha=1.25)}),
    }
    for sigma, least in ((1.0, 10.0), (5.0, 20.0)):
        generator = torch.Generator().manual_seed(0)
        x = (sigma * torch.randn(ROWS, COLUMNS, generator=generator)).requires_grad_()
        g = torch.randn(ROWS, COLUMNS, generator=generator)

        def step(function: Callable[[Tensor], Tensor], x: Tensor = x, g: Tensor = g) -> float:
            x.grad = None
            return spent(lambda: function(x).backward(g))

        for name, (ours, theirs) in kinds.items():
            case = f"{name}, {ROWS} x {COLUMNS}, float32, sigma {sigma:g}, forward + backward"
            subjects = {"paribus": ours, "torch softmax": lambda x: x.softmax(-1)} | {
                f"entmax, {label}": function for label, function in theirs.items()
            }
            for function in subjects.values():
                step(function)
            times = in_turn(
                {subject: partial(step, function) for subject, function in subjects.items()}, options.rounds
            )
            for subject, runs in times.items():
                table.row(case, subject, "CPU time", "ms", [1e3 * run for run in runs])
            faster = ratios(times["entmax, default"], times["paribus"])
            table.goal(case, "entmax, default", faster, f">= {least:g}x", at_least(least))
            guessed = [peer for peer in times if "k=" in peer]
            if guessed:
                best = min(guessed, key=lambda peer: statistics.median(times[peer]))
                table.goal(case, f"{best} (its best)", ratios(times[best], times["paribus"]), ">= 1x", at_least(1))


def bfloat16(table: Table, options: argparse.Namespace) -> None:
    """Mean over rows of sum_j |p_j - exact_j|, the exact weights from the same bfloat16 scores in float64."""
    import entmax as package

    pairs: dict[str, tuple[float, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
        "sparsemax": (2.0, Sparsemax(), package.sparsemax),
        "entmax-1.5": (1.5, Entmax15(), package.entmax15),
        "entmax-1.25": (1.25, AlphaEntmax(alpha=1.25), lambda x: package.entmax_bisect(x, alpha=1.25)),
    }
    for name, (alpha, ours, theirs) in pairs.items():
        case = f"{name}, 16 x {COLUMNS}, bfloat16, sigma 3"
        errors: dict[str, list[float]] = {"paribus": [], "entmax, default": [], "exact weights, rounded": []}
        for seed in range(options.rounds):
            x = (3 * torch.randn(16, COLUMNS, generator=torch.Generator().manual_seed(seed))).bfloat16()
            exact = entmax_by_bisection(x.double(), alpha)
            found = {"paribus": ours(x), "entmax, default": theirs(x), "exact weights, rounded": exact.bfloat16()}
            for subject, p in found.items():
                errors[subject].append(float((p.double() - exact).abs().sum(-1).mean()))
        for subject, runs in errors.items():
            table.row(case, subject, "L1 error", "1", runs)
        smaller = ratios(errors["paribus"], errors["entmax, default"])
        table.goal(case, "entmax, default", smaller, "error <= 1/10", at_most(0.1))


def plain_cross_entropy(hidden: Tensor, head: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(hidden @ head.T, target)


def plain_emo(hidden: Tensor, head: Tensor, target: Tensor, embedding: Tensor) -> Tensor:
    """The published adaptive form, spared its one-hot matrices."""
    unit = F.normalize(embedding, dim=-1)
    log_q = torch.log_softmax(hidden @ head.T, -1)
    index = target[:, None]
    mle, q = -log_q.gather(-1, index)[:, 0], log_q.exp()
    cost = 1 - ((q @ unit) * unit[target]).sum(-1) + q.gather(-1, index)[:, 0].detach()
    return (0.5 * (mle + (mle / (cost + 1e-10)).detach() * cost)).mean()


def resident(field: str) -> int:
    """VmRSS, the resident size, or VmHWM, its peak, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def wide_child(subject: str, tokens: int) -> None:
    """One step in this process: CPU seconds, growth of the peak resident size, loss."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, WIDTH, generator=generator)
    head = torch.randn(VOCABULARY, WIDTH, generator=generator) * WIDTH**-0.5
    target = torch.randint(0, VOCABULARY, (tokens,), generator=generator)
    emo = EarthMover.Config().over(head) if "EMO" in subject else None
    losses: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "cross entropy, chunked": CrossEntropy(),
        "cross entropy, plain": plain_cross_entropy,
        "EMO, chunked": lambda h, w, y: emo(h, w, y) if emo else h.sum(),
        "EMO, plain": lambda h, w, y: plain_emo(h, w, y, emo.unit if emo else w.detach()),
    }
    loss = losses[subject]
    losses[f"{subject.split(',')[0]}, plain"](hidden[:2], head, target[:2])  # loads the libraries
    hidden.requires_grad_()
    head.requires_grad_()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = resident("VmRSS")

    def step() -> Tensor:
        value = loss(hidden, head, target)
        value.backward()
        return value

    seconds, value = timed(step)
    print(json.dumps({"seconds": seconds, "bytes": resident("VmHWM") - before, "loss": value.item()}))


def in_a_process(subject: str, tokens: int) -> dict[str, float]:
    """What `wide_child` finds."""
    command = [sys.executable, __file__, "--child", subject, "--tokens", str(tokens)]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
    return found


def wide(table: Table, options: argparse.Namespace) -> None:
    for kind in ("cross entropy", "EMO"):
        case = f"{kind}, {options.tokens} tokens, d={WIDTH}, vocabulary {VOCABULARY}, float32, forward + backward"
        ways = {way: partial(in_a_process, f"{kind}, {way}", options.tokens) for way in ("chunked", "plain")}
        ours, plain = in_turn(ways, options.wide_rounds).values()
        for subject, runs in (("paribus, chunked", ours), ("plain", plain)):
            table.row(case, subject, "CPU time", "s", [run["seconds"] for run in runs])
            table.row(case, subject, "peak memory of the step", "MiB", [run["bytes"] / 2**20 for run in runs])
            table.row(case, subject, "loss", "nat", [run["loss"] for run in runs])
        for figure, goal, most in (("bytes", "peak memory <= 1/8", 1 / 8), ("seconds", "time <= 1.1x", 1.1)):
            smaller = ratios([run[figure] for run in ours], [run[figure] for run in plain])
            table.goal(case, "plain", smaller, goal, at_most(most))


def published_multilabel(scores: Tensor, index: Tensor) -> Tensor:
    """bert4keras: the sum over negatives as all minus positives, kept from log 0 by a clip at 1e-7."""
    zero = torch.zeros(1)
    positive, padded = scores[index], torch.cat([scores, zero])
    all_loss = torch.logsumexp(padded, 0)
    aux = torch.logsumexp(positive, 0) - all_loss
    negative = all_loss + torch.log((1 - torch.exp(aux)).clamp(1e-7, 1))
    return torch.logsumexp(torch.cat([-positive, zero]), 0) + negative


def multilabel(table: Table, options: argparse.Namespace) -> None:
    index = torch.tensor([3, 500, 999])
    right = torch.zeros(1000, dtype=torch.bool).index_fill(0, index, True)
    levels = (1, 5, 10, 15, 20, 30, 40)
    case = f"multilabel cross entropy, 1000 classes, 3 at +m, the rest at -m, m in {levels}, float32"
    errors: dict[str, list[float]] = {"paribus, dense": [], "paribus, sparse": [], "published sparse form": []}
    for m in levels:
        scores = torch.full((1000,), -float(m)).index_fill(0, index, float(m))
        exact = math.log1p(997 * math.exp(-m)) + math.log1p(3 * math.exp(-m))
        found = {
            "paribus, dense": MultilabelCrossEntropy()(scores, right),
            "paribus, sparse": SparseMultilabelCrossEntropy()(scores, index),
            "published sparse form": published_multilabel(scores, index),
        }
        for subject, value in found.items():
            errors[subject].append(abs(float(value) - exact) / exact)
    for subject, runs in errors.items():
        table.row(case, subject, "relative error", "1", runs)
    worst = max(errors["paribus, dense"] + errors["paribus, sparse"])
    table.goal(case, "float64", [worst], "worst <= 1e-6", at_most(1e-6))


def top_k(table: Table, options: argparse.Namespace) -> None:
    """max |p - exact| / (eps (1 + |x - t|) exact) over weights that float32 can hold, exact by bisection in float64."""
    below = lambda u: 0.5 * torch.exp(-u.abs())  # noqa: E731
    curves: dict[Any, Callable[[Tensor], Tensor]] = {
        ExponentialTopK: lambda u: torch.exp(u.clamp_max(0)),
        SigmoidTopK: torch.sigmoid,
        LaplaceTopK: lambda u: below(u).where(u < 0, 1 - below(u)),
    }
    settings = [(10, 8, 0.1), (10, 9, 0.1), (64, 1, 1.0), (64, 30, 1.0), (64, 59, 1.0), (64, 8, 10.0)]
    for kind, f in curves.items():
        case = f"{kind.__name__}, (n, k, sigma) in {settings}, 300 rows each, float32"
        errors = []
        for n, k, sigma in settings:
            x = sigma * torch.randn(300, n, generator=torch.Generator().manual_seed(k))
            wide = x.double()
            start = (wide.amin(-1, keepdim=True) - 60, wide.amax(-1, keepdim=True) + 60)
            t, _ = bisect(lambda t, f=f, w=wide, k=k: f(w - t).sum(-1, keepdim=True) - k, *start, 100)
            exact = f(wide - t)
            error = (kind(k=k).select(x).double() - exact).abs() / (EPS * (1 + (wide - t).abs()) * exact)
            errors.append(float(error[exact > 1e-30].max()))
        table.row(case, "paribus", "error / (eps (1 + abs(x - t)))", "1", errors)
        table.goal(case, "float64", [max(errors)], "worst <= 4", at_most(4))


NOTES = """\
Times are CPU seconds of one thread on a machine that others were using; subjects took turns within each round, and the
ratios are medians of ratios within a round. In bfloat16 no output can be nearer than the exact weights rounded once,
which is what ours are (the rows "exact weights, rounded" equal ours): where the goal of a tenth of the peer's error is
missed, rounding alone is more than that tenth, and no implementation could meet it.
"Plain" EMO is the published adaptive form without its one-hot matrices, which would cost it two more buffers of
tokens x vocabulary.
"""

PARTS = {"entmax": entmax, "bfloat16": bfloat16, "multilabel": multilabel, "top_k": top_k, "wide": wide}


def markdown(told: JSON) -> str:
    return page("Probability", told, NOTES, ratio="ratio or error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one round and few tokens, to see that it runs")
    parser.add_argument("--out", type=Path, help="write the tables there, in Markdown")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wide-rounds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--only", default=",".join(PARTS), help="which parts, by comma: " + ", ".join(PARTS))
    parser.add_argument("--show", metavar="FILE", help="print the tables of a saved --json result, and measure nothing")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        wide_child(options.child, options.tokens)
        return
    if options.show:
        print(markdown(json.loads(Path(options.show).read_text(encoding="utf-8"))))
        return
    if options.quick:
        options.rounds, options.wide_rounds, options.tokens = 1, 1, 256
    torch.set_num_threads(1)
    table = Table(aloud=True)
    for part in options.only.split(","):
        PARTS[part](table, options)
    where = machine() | {"threads": 1, "load_at_end": os.getloadavg()[0]}
    told = table.result("probability", "python " + " ".join(sys.argv), where, versions("torch", "entmax"))
    if options.out:
        options.out.write_text(markdown(told) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=1) if options.json else markdown(told))


if __name__ == "__main__":
    main()
