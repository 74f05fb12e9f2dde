"""Every normalizer in one table: its time beside torch's softmax, its error in bfloat16; smooth top-k beside others.

    python benchmarks/normalizers.py --out benchmarks/normalizers.md [--json] [--quick] [--only members,...]

Times are CPU seconds of one thread, forward and backward, subjects in turn within every round; ratios are taken within
rounds. About two minutes on an idle machine.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from paribus.core.discovery import members
from paribus.normalizers.base import Normalizer
from paribus.normalizers.topk.base import SmoothTopK
from paribus.normalizers.topk.gradient import GradTopK
from paribus.normalizers.topk.laplace import LaplaceTopK
from paribus.normalizers.topk.sigmoid import SigmoidTopK
from paribus.ops.iterative import damped_top_k
from paribus.ops.transport import transport_top_k
from report import JSON, Table, at_least, at_most, in_turn, machine, page, ratios, spent, versions

EPS = torch.finfo(torch.float32).eps
ITERATIONS = 200  # of entropic transport


def numbers(rows: int, n: int, sigma: float, seed: int = 0) -> Tensor:
    return sigma * torch.randn(rows, n, generator=torch.Generator().manual_seed(seed))


def time_members(table: Table, options: argparse.Namespace) -> None:
    """The first example of every member, forward and backward."""
    rows, n = 64, options.columns
    x, g = numbers(rows, n, 2.0).requires_grad_(), numbers(rows, n, 1.0, seed=1)

    def step(function: object) -> float:
        assert callable(function)
        x.grad = None
        return spent(lambda: function(x).backward(g))

    found = [kind.examples[0] for kind in members(Normalizer)]
    subjects = {"torch softmax": partial(torch.softmax, dim=-1)} | {str(one): one.build() for one in found}
    case = f"{rows} x {n}, float32, sigma 2, forward + backward"
    for function in subjects.values():
        step(function)
    times = in_turn({name: partial(step, function) for name, function in subjects.items()}, options.rounds)
    for name, runs in times.items():
        table.row(case, name, "CPU time, times that of torch softmax", "1", ratios(runs, times["torch softmax"]))


def errors_in_bfloat16(table: Table, options: argparse.Namespace) -> None:
    """Mean over rows of sum_j |p_j - exact_j|, exact = the member's weights of the same scores in float64."""
    for kind in members(Normalizer):
        member = kind.examples[0].build()
        ours, rounded = [], []
        for seed in range(options.rounds):
            x = numbers(16, options.columns, 3.0, seed).bfloat16()
            exact = member(x.double()).detach()
            for runs, p in ((ours, member(x)), (rounded, exact.bfloat16())):
                runs.append(float((p.detach().double() - exact).abs().sum(-1).mean()))
        case = f"{kind.examples[0]}, 16 x {options.columns}, bfloat16, sigma 3"
        table.row(case, "paribus", "L1 error", "1", ours)
        table.row(case, "exact weights, rounded", "L1 error", "1", rounded)
        table.goal(case, "exact weights, rounded", ratios(ours, rounded), "error <= 1.01x", at_most(1.01))


def select_many(table: Table, options: argparse.Namespace) -> None:
    """Smooth top-k of long rows beside entropic transport and the damped iteration, forward and backward."""
    rows, n, k = 8, options.long, 8
    x, g = numbers(rows, n, 2.0).requires_grad_(), numbers(rows, n, 1.0, seed=1)
    kinds = [kind for kind in members(Normalizer) if issubclass(kind, SmoothTopK)]
    subjects = {kind.__name__: kind(k=k).select for kind in kinds} | {
        f"entropic transport, {ITERATIONS} iterations": partial(transport_top_k, k=k, iterations=ITERATIONS),
        "damped iteration": partial(damped_top_k, k=k),
        "torch.topk (hard, forward only)": lambda x: x.topk(k).values,
    }

    def step(function: object) -> float:
        assert callable(function)
        x.grad = None
        if function is subjects["torch.topk (hard, forward only)"]:
            return spent(lambda: function(x.detach()))
        return spent(lambda: function(x).backward(g))

    case = f"select, {rows} x {n}, k = {k}, float32, sigma 2, forward + backward"
    times = in_turn({name: partial(step, function) for name, function in subjects.items()}, options.rounds)
    for name, runs in times.items():
        table.row(case, name, "CPU time", "ms", [1e3 * run for run in runs])
    peer = f"entropic transport, {ITERATIONS} iterations"
    for kind in (LaplaceTopK, SigmoidTopK, GradTopK):
        faster = ratios(times[peer], times[kind.__name__])
        table.goal(case, peer, faster, ">= 1x", at_least(1), subject=kind.__name__)
    exact = SigmoidTopK(k=k).select(x.detach().double())
    left = (transport_top_k(x.detach().double(), k, iterations=ITERATIONS) - exact).abs().amax(-1)
    table.row(case, peer, "largest error that its iterations leave", "1", left.tolist())


def by_prefix_and_suffix(x: Tensor, k: int) -> Tensor:
    """Marginals of k-subsets of each row of x (rows, n) float64, by tables of additions in logs."""

    def tables(ordered: Tensor) -> list[Tensor]:
        e = torch.full((len(x), k + 1), -torch.inf, dtype=x.dtype).index_fill(1, torch.tensor(0), 0.0)
        found = [e]
        for value in ordered.T:
            shifted = torch.cat([torch.full_like(e[:, :1], -torch.inf), e[:, :-1] + value[:, None]], dim=1)
            e = torch.logaddexp(e, shifted)
            found.append(e)
        return found

    prefix, suffix, n = tables(x), tables(x.flip(1)), x.shape[1]
    each = [torch.logsumexp(prefix[i][:, :k] + suffix[n - 1 - i][:, :k].flip(1), 1) + x[:, i] for i in range(n)]
    return torch.exp(torch.stack(each, dim=1) - prefix[n][:, k : k + 1])


def by_published_recursion(x: Tensor, k: int) -> Tensor:
    """Z_{k,i} = e^{x_i} (Z_{k-1} - Z_{k-1,i}), in logs."""
    log_zi, log_z = x, torch.logsumexp(x, -1, keepdim=True)
    for j in range(2, k + 1):
        log_zi = x + log_z + torch.log(1 - torch.exp(log_zi - log_z))
        log_z = torch.logsumexp(log_zi, -1, keepdim=True) - torch.log(torch.tensor(float(j)))
    return torch.exp(log_zi - log_z)


def subsets(table: Table, options: argparse.Namespace) -> None:
    """GradTopK in float32 on the cases where the published recursion fails: error relative to eps of every weight."""
    for sigma, k in ((3.0, 10), (10.0, 3), (10.0, 10)):
        x = numbers(50, 100, sigma)
        exact = by_prefix_and_suffix(x.double(), k)
        held = exact > 1e-30
        case = f"GradTopK, 50 x 100, k = {k}, sigma {sigma:g}, float32"
        error = ((GradTopK(k=k).select(x).double() - exact).abs() / (EPS * exact))[held]
        wrong = by_published_recursion(x, k).double() - exact
        table.row(case, "paribus", "relative error / eps", "1", [float(error.max())])
        lost = (~(wrong.abs().amax(-1) < 0.01)).sum().item()
        table.row(case, "published recursion", "rows of 50 with an error of 0.01 or more", "rows", [float(lost)])
        table.goal(case, "float64", [float(error.max())], "worst <= 4 eps", at_most(4))


NOTES = """\
Sums of bfloat16 weights are off by their rounding, as those of any implementation: the row "exact weights, rounded" is
the least that a bfloat16 output can err. Entropic transport is this library's own, in logarithms.
"""

PARTS = {"members": time_members, "bfloat16": errors_in_bfloat16, "select": select_many, "subsets": subsets}


def markdown(told: JSON) -> str:
    return page("Normalizers", told, NOTES, ratio="ratio or error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one round and short rows, to see that it runs")
    parser.add_argument("--out", type=Path, help="write the tables there, in Markdown")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--columns", type=int, default=4096)
    parser.add_argument("--long", type=int, default=32768, help="length of the rows to select from")
    parser.add_argument("--only", default=",".join(PARTS), help="which parts, by comma: " + ", ".join(PARTS))
    parser.add_argument("--show", metavar="FILE", help="print the tables of a saved --json result, and measure nothing")
    options = parser.parse_args()
    if options.show:
        print(markdown(json.loads(Path(options.show).read_text(encoding="utf-8"))))
        return
    if options.quick:
        options.rounds, options.columns, options.long = 1, 256, 512
    torch.set_num_threads(1)
    table = Table(aloud=True)
    for part in options.only.split(","):
        PARTS[part](table, options)
    where = machine() | {"threads": 1}
    told = table.result("normalizers", "python " + " ".join(sys.argv), where, versions("torch"))
    if options.out:
        options.out.write_text(markdown(told) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=1) if options.json else markdown(told))


if __name__ == "__main__":
    main()
