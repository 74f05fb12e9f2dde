"""How often the verdict's words are wrong, and how often they come: the lab's own rules on simulated differences.

Every row is a share among simulated claims, judged by `paribus.lab.verdict.judge` as real ones are. A bound is what
the rules promise (a chance of error, or the power that a plan prints); rows without one only report. The heavy tails
are those of small runs: standard deviation 0.016 between seeds, and one seed in 12 that ends 0.17 off.

    python benchmarks/verdict_simulation.py [--json] [--verdicts N]
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from paribus.core.seed import generator
from paribus.lab import power
from paribus.lab.predictions import Equivalent, Greater, NotWorse, Prediction
from paribus.lab.rules import CONTRADICTED, EQUIVALENT, REPRODUCED, UNDECIDED, aa_holds
from paribus.lab.statistics import Paired
from paribus.lab.verdict import Measure, Verdict, judge
from report import JSON, Table, system, versions

Differences = NDArray[np.float64]  # (claims, comparisons, n)

MARGIN = 0.02
MEASURES = {"score": Measure("1")}
SEED_SD, OUTLIER, ONE_IN = 0.016, 0.17, 12


@dataclass(frozen=True)
class Row:
    case: str
    subject: str
    hits: int
    of: int
    most: float | None = None  # the share promised as a maximum
    about: float | None = None  # the share that was printed beforehand

    @property
    def share(self) -> float:
        return self.hits / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Exact 95 % interval of the share (Clopper-Pearson)."""
        found = stats.binomtest(self.hits, self.of).proportion_ci(0.95)
        return float(found.low), float(found.high)

    @property
    def met(self) -> bool:
        """No more than promised, or as printed, as far as this many claims can tell (printed power is good to 0.03)."""
        low, high = self.interval
        if self.most is not None:
            return low <= self.most
        return self.about is None or low - 0.03 <= self.about <= high + 0.03


def predicted(kind: Callable[..., Prediction], number: int, **sizes: float) -> Prediction:
    return kind(
        f"p{number}", f"arm{number}", than="control", metric="score", provenance="blind", dated="2026-11-22", **sizes
    )


def judged(predictions: Sequence[Prediction], differences: Differences) -> Iterator[Verdict]:
    """One verdict per claim, on results whose paired differences are those given."""
    n = differences.shape[-1]
    control = {"control": {seed: {"score": 0.0} for seed in range(n)}}
    for claim in differences:
        arms = {f"arm{i}": {seed: {"score": float(x)} for seed, x in enumerate(d)} for i, d in enumerate(claim)}
        yield judge(predictions, "p0", control | arms, MEASURES)


def normal(name: str, claims: int, means: Sequence[float], n: int, correlation: float = 0.5) -> Differences:
    """Normal differences of sd 0.016; comparisons with one control share half of their variance."""
    random = generator("verdict-simulation", name)
    shared = random.standard_normal((claims, 1, n)) * math.sqrt(correlation)
    own = random.standard_normal((claims, len(means), n)) * math.sqrt(1 - correlation)
    return SEED_SD * (shared + own) + np.asarray(means)[:, None]


def heavy(name: str, claims: int, n: int, who: str) -> tuple[Differences, float]:
    """(differences with outlier seeds, their true mean): in both arms at once, in each by itself, or in one only."""
    random = generator("verdict-simulation", "heavy", name)
    arms = SEED_SD * random.standard_normal((2, claims, 1, n))
    bad = OUTLIER * (random.random((2, claims, 1, n)) < 1 / ONE_IN)
    if who == "both":
        bad[1] = bad[0]
    if who == "one":
        bad[1] = 0.0
    d = arms[0] + bad[0] - arms[1] - bad[1]
    return d, OUTLIER / ONE_IN if who == "one" else 0.0


def false_words(claims: int) -> Iterator[Row]:
    """At the borders: every word that comes is a false one."""
    for n in (6, 8, 16):
        d = normal(f"null {n}", claims, [0.0], n)
        words = [verdict.word for verdict in judged([predicted(Greater, 0)], d)]
        yield Row(f"no difference, n={n}", "Greater: reproduced", words.count(REPRODUCED), claims, most=0.025)
        yield Row(f"no difference, n={n}", "Greater: any word", claims - words.count(UNDECIDED), claims, most=0.05)
    for n in (8, 16):
        d = normal(f"edge {n}", claims, [-MARGIN], n)
        words = [verdict.word for verdict in judged([predicted(NotWorse, 0, margin=MARGIN)], d)]
        yield Row(f"mean at -margin, n={n}", "NotWorse: reproduced", words.count(REPRODUCED), claims, most=0.025)
        words = [verdict.word for verdict in judged([predicted(Equivalent, 0, margin=MARGIN)], d)]
        yield Row(f"mean at -margin, n={n}", "Equivalent: reproduced", words.count(REPRODUCED), claims, most=0.05)
        words = [verdict.word for verdict in judged([predicted(Greater, 0, by=MARGIN, margin=MARGIN)], d)]
        yield Row(f"mean at -margin, n={n}", "Greater: equivalent", words.count(EQUIVALENT), claims, most=0.05)


def false_words_of_families(claims: int) -> Iterator[Row]:
    """Four comparisons: the chance that any of them gets a false word."""
    for n in (8, 16):
        for correlation in (0.0, 0.5):
            for real in range(4):
                means = [5 * SEED_SD] * real + [0.0] * (4 - real)
                d = normal(f"family {n} {correlation} {real}", claims, means, n, correlation)
                predictions = [predicted(Greater, i) for i in range(4)]
                wrong = sum(
                    any(outcome.word != UNDECIDED for outcome in verdict.outcomes[real:])
                    for verdict in judged(predictions, d)
                )
                case = f"4 comparisons, {real} real, correlation {correlation:g}, n={n}"
                yield Row(case, "any false word", wrong, claims, most=0.05)
    d = normal("mixed family", claims, [0.0, -MARGIN, MARGIN, 5 * SEED_SD], 16)
    kinds = [
        predicted(Greater, 0),
        predicted(NotWorse, 1, margin=MARGIN),
        predicted(Equivalent, 2, margin=MARGIN),
        predicted(Greater, 3),
    ]
    wrong = sum(
        outcomes[0].word != UNDECIDED or outcomes[1].word != UNDECIDED or outcomes[2].word == REPRODUCED
        for outcomes in (verdict.outcomes for verdict in judged(kinds, d))
    )
    yield Row("Greater, NotWorse and Equivalent at their borders, n=16", "any false word", wrong, claims, most=0.05)


def intervals_of_families(claims: int) -> Iterator[Row]:
    """Four real differences, all found: what the Holm-adjusted intervals cover."""
    for size in (1.5, 3.0):
        mean = size * SEED_SD
        d = normal(f"intervals {size}", claims, [mean] * 4, 16)
        missed = np.array(
            [
                [not outcome.evidence.ci95[0] <= mean <= outcome.evidence.ci95[1] for outcome in verdict.outcomes]
                for verdict in judged([predicted(Greater, i) for i in range(4)], d)
            ]
        )
        case = f"4 differences of {size:g} sd, n=16"
        yield Row(case, "one adjusted interval misses its mean", int(missed[:, 0].sum()), claims, most=0.05)
        yield Row(case, "any of the four misses", int(missed.any(axis=1).sum()), claims)


def heavy_tails(claims: int) -> Iterator[Row]:
    """One seed in 12 is an outlier: coverage of the plain 95 % interval, and false words at the true mean."""
    labels = {"both": "the same seeds in both arms", "each": "each arm its own", "one": "in one arm only"}
    for who, label in labels.items():
        for n in (8, 16, 32):
            few = claims if n < 32 else claims // 4
            d, mean = heavy(f"{who} {n}", few, n, who)
            missed = false = 0
            for row in d[:, 0]:
                low, high = Paired(tuple(row)).interval(0.95)
                missed += not low <= mean <= high
            yield Row(f"outliers: {label}, n={n}", "95 % interval misses the mean", missed, few)
            if n < 32:
                verdicts = judged([predicted(Greater, 0)], d - mean)
                false = sum(verdict.word != UNDECIDED for verdict in verdicts)
                most = None if who == "one" else 0.05
                yield Row(f"outliers: {label}, n={n}", "Greater: any false word", false, few, most=most)


def printed_power(claims: int) -> Iterator[Row]:
    """A difference as large as the plan calls smallest: how often it is found, against the power that was printed."""
    for n, comparisons in ((6, 1), (8, 1), (8, 4), (12, 4), (16, 1), (16, 4)):
        effect = power.smallest_effect(n, SEED_SD, comparisons)
        means = [effect] + [0.0] * (comparisons - 1)
        d = normal(f"power {n} {comparisons}", claims, means, n)
        found = [verdict.word for verdict in judged([predicted(Greater, i) for i in range(comparisons)], d)]
        case = f"difference of {effect / SEED_SD:.2f} sd, {comparisons} comparisons, n={n}"
        yield Row(case, "Greater: reproduced", found.count(REPRODUCED), claims, about=0.8)
        yield Row(case, "Greater: contradicted", found.count(CONTRADICTED), claims, most=0.025)
    for n in (8, 16):
        margin = power.smallest_margin(n, SEED_SD)
        d = normal(f"equivalence {n}", claims, [0.0], n)
        found = [verdict.word for verdict in judged([predicted(Equivalent, 0, margin=margin)], d)]
        case = f"equal arms, margin {margin / SEED_SD:.2f} sd, n={n}"
        yield Row(case, "Equivalent: reproduced", found.count(REPRODUCED), claims, about=0.8)


def same_arm_twice(claims: int) -> Iterator[Row]:
    """A/A arms without any bias: how often they hold a verdict back."""
    for who in ("normal", "each"):
        d = normal("a/a", claims, [0.0], 8) if who == "normal" else heavy("a/a", claims, 8, who)[0]
        for margin in (1e-9, SEED_SD, 4 * SEED_SD):
            prediction = predicted(NotWorse, 0, margin=margin)
            held = sum(aa_holds(Paired(tuple(row)), prediction) for row in d[:, 0])
            tails = "normal" if who == "normal" else "outliers"
            yield Row(f"A/A, {tails}, margin {margin / SEED_SD:.2g} sd, n=8", "verdict held", held, claims, most=0.01)


PARTS = (
    false_words,
    false_words_of_families,
    intervals_of_families,
    heavy_tails,
    printed_power,
    same_arm_twice,
)


def as_json(rows: list[Row], claims: int) -> JSON:
    table = Table()
    for row in rows:
        table.row(row.case, row.subject, "share", "1", [row.share])
        bound = row.most if row.most is not None else row.about
        if bound is None:
            continue
        low, high = row.interval
        goal = "at most 1" if row.most is not None else "1, to 0.03 of power"
        table.goal(
            row.case,
            f"promised {bound:g}",
            [row.share / bound],
            goal,
            lambda _, row=row: row.met,
            subject=row.subject,
            interval=(low / bound, high / bound),
        )
    command = f"python benchmarks/verdict_simulation.py --json --verdicts {claims}"
    return table.result("verdict_simulation", command, system(), versions("numpy", "scipy"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verdicts", type=int, default=2_000, help="simulated claims per row")
    parser.add_argument("--corpus", help="not used: nothing is read")
    given = parser.parse_args()
    rows = []
    if not given.json:
        print(f"{'case':<68} {'share of':<38} {'seen':>7} {'95 % interval':>17} {'promised':>9}")
    for part in PARTS:
        for row in part(given.verdicts):
            rows.append(row)
            if not given.json:
                low, high = row.interval
                bound = "" if row.most is None else f"<= {row.most:g}"
                bound = bound if row.about is None else f"{row.about:g}"
                print(
                    f"{row.case:<68} {row.subject:<38} {row.share:>7.4f} {f'{low:.4f}-{high:.4f}':>17} {bound:>9}"
                    f"{'' if row.met else '  missed'}",
                    flush=True,
                )
    if given.json:
        print(json.dumps(as_json(rows, given.verdicts), indent=1))
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
