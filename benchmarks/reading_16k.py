"""What reads 16384 tokens best with SmolLM2-135M, trained to 8192, without training: chosen and judged on other texts.

The loss of the same last 1024 tokens of a text, under the whole context. Every method reads the first text; the best
ten, and the three that all are compared with, read the other texts to choose on; the best three of those read the texts
to judge on, which nothing was chosen by. The goal: better than plain reading of the last 8192 tokens, on the first two
stretches of the interpreter's documentation, and on all judging texts.

Then mixtures: several of these readings at once, p(token) the mean of what they expect (models/mixture.py). Their loss
follows from what each reading alone makes of each token.

About a minute a measurement on two cores, some 170 in all. Each is written down as a line of JSON as soon as it is
done, so the script may be stopped at any time and goes on with the same command; methods come in the order of their
promise.

    python benchmarks/reading_16k.py [--results FILE] [--most N] [--judge] [--show] [--list] [--json]

--most N    stop after N measurements
--judge     choose by what is measured so far, and go on with the judging texts at once
--show      the tables of what is measured so far; read nothing
--list      the methods
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

from torch import Tensor

from paribus.attention.scales.log_length import LogLength
from paribus.context_extension.method import Change
from paribus.lab.executors.base import KEEP_MEMORY
from paribus.ops.merge import Share, Turn
from paribus.positions.maps.base import PositionMap
from paribus.positions.maps.dual_chunk import DualChunk
from paribus.positions.maps.leaky_rerope import LeakyReRoPE
from paribus.positions.maps.lm_infinite import LMInfinite
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.maps.self_extend import SelfExtend
from paribus.positions.maps.streaming import StreamingLLM
from paribus.positions.rotary import Rotary
from paribus.positions.scaling.base import Scaling
from paribus.positions.scaling.dynamic_ntk import DynamicNTK
from paribus.positions.scaling.llama3 import Llama3
from paribus.positions.scaling.longrope import LongRoPE
from paribus.positions.scaling.ntk_aware import NTKAware
from paribus.positions.scaling.ntk_fixed import NTKFixed
from paribus.positions.scaling.ntk_mixed import NTKMixed
from paribus.positions.scaling.ntk_old import NTKOld
from paribus.positions.scaling.position_interpolation import PositionInterpolation
from paribus.positions.scaling.yarn import YaRN

TRAINED, LONG, LAST = 8192, 16384, 1024
BASE = 1e5  # of its RoPE
GOAL = (("python-docs", 0), ("python-docs", 1))
CHOOSE_ON = (("python-docs", 2), ("inspect.py", 0), ("python-docs", 3))
JUDGE_ON = (*GOAL, ("typing.py", 0), ("unittest/mock.py", 0))
SECOND, THIRD = 10, 3  # how many methods come into the second and the third round
# What is mixed: cutting, and the best of each kind by the texts to choose on. Written down before a mixture was read.
MIXED = ("plain, cut to 8192", "leaky 256, reach 5120 + log-n", "dual-chunk 6144", "rerope 6144")

Layers = tuple[tuple[Change, ...], ...]  # the changes of the layers, repeated from the first to the last
Text = tuple[str, int]  # the name of a long text and the number of a stretch of it


@dataclass(frozen=True)
class Method:
    name: str
    layers: Layers = ()
    context: int = LONG  # tokens that are read, the last ones
    always: bool = False  # read every text, since others are compared with it
    of: tuple[str, ...] = ()  # the readings that are mixed


class Beyond(Rotary):
    """Pairs within the window of `map`, a ReRoPE, are read as trained; beyond it frequencies are others.

    f_i(d) = w + (d - w) theta'_i / theta_i in pair i: Leaky ReRoPE with a slope for each pair, so that only those bend
    which would meet unseen angles. An experiment of this benchmark, for reading whole texts alone.
    """

    others: Scaling

    def shares(
        self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor, first: int, window: int | None = None
    ) -> list[Share] | None:
        found = super().shares(q, k, q_positions, k_positions, first, window)
        assert found is not None
        near, far = found
        trained = self.frequencies(q.shape[-1])
        bent, w = self.others(trained), getattr(self.map, "window")  # noqa: B009 - of ReRoPE

        def turn(angles: Tensor) -> Turn:
            cos, sin = angles.cos().float()[None, None], angles.sin().float()[None, None]
            return lambda x, start, stop: self.pairing.rotate(x, cos[:, :, start:stop], sin[:, :, start:stop])

        rows = (q_positions[0, :, None] - w) * bent + w * trained
        return [near, far._replace(query=turn(rows), key=turn(k_positions[0, :, None] * bent))]


def methods() -> list[Method]:
    """Those that all are compared with, then the most promising first.

    Frequencies are changed as little as the length asks (12 of 32 pairs never turned once in 8192 tokens); maps keep
    near distances as they were and no distance above 8192; windows keep the number of keys as it was; what is bent
    beyond a window alone does both.
    """
    n = LogLength(base=float(TRAINED), at_least_one=True)

    def one(name: str, *changes: Change, always: bool = False) -> Method:
        return Method(name, (changes,), always=always)

    def leaky(window: int, reach: int) -> LeakyReRoPE:
        """The last token of the text meets the first one at the distance `reach`."""
        return LeakyReRoPE(window=window, factor=(LONG - window) / (reach - window))

    def yarn(factor: float, temperature: float, **more: Any) -> YaRN:
        return YaRN(factor=factor, train_length=TRAINED, temperature=temperature, **more)

    def mixture(name: str, *maps: PositionMap) -> Method:
        return Method(name, tuple((one,) for one in maps))

    def beyond(window: int, **more: Any) -> Beyond:
        factor = (LONG - window) / (TRAINED - window)
        return Beyond(base=BASE, map=ReRoPE(window=window), others=yarn(factor, 0.0, **more))

    window = StreamingLLM(window=TRAINED - 4)
    found = [
        Method("plain, cut to 8192", context=TRAINED, always=True),
        one("yarn 2", yarn(2.0, 0.1), always=True),
        one("rerope 2048", ReRoPE(window=2048), always=True),
        one("streaming-llm 8188", window),
        one("yarn 3 beyond 4096", beyond(4096)),
        one("leaky 4096, reach 8192", leaky(4096, 8192)),
        one("yarn 2, no temperature", yarn(2.0, 0.0)),
        one("rerope 4096", ReRoPE(window=4096)),
        one("leaky 4096, reach 7168 + log-n", leaky(4096, 7168), n),
        one("yarn 2.3 beyond 2048 + log-n", beyond(2048), n),
        one("llama3 2", Llama3(factor=2.0, train_length=TRAINED)),
        one("dual-chunk 6144", DualChunk(chunk=6144, train_length=TRAINED)),
        mixture("two of three layers streaming-llm 8188, one leaky 4096", window, window, leaky(4096, 7168)),
        one("rerope 6144", ReRoPE(window=6144)),
        one("yarn 3 beyond 4096, fast 4", beyond(4096, fast=4.0)),
        one("yarn 2.1 beyond 1024", beyond(1024)),
        one("yarn 2, temperature 0.05", yarn(2.0, 0.05)),
        one("yarn 2, no temperature, fast 4", yarn(2.0, 0.0, fast=4.0)),
        one("rerope 4096 + log-n", ReRoPE(window=4096), n),
        one("leaky 6144, reach 8192", leaky(6144, 8192)),
        one("leaky 4096, reach 7168", leaky(4096, 7168)),
        one("leaky 4096, reach 6144", leaky(4096, 6144)),
        one("leaky 2048, reach 8192", leaky(2048, 8192)),
        one("leaky 2048, reach 6144 + log-n", leaky(2048, 6144), n),
        mixture("one of three layers streaming-llm 8188, two leaky 4096", window, leaky(4096, 7168), leaky(4096, 7168)),
        mixture("five of six layers streaming-llm 8188, one leaky 4096", *[window] * 5, leaky(4096, 7168)),
        one("yarn 2, no temperature + log-n", yarn(2.0, 0.0), n),
        one("yarn 1.75, no temperature", yarn(1.75, 0.0)),
        one("yarn 2, no temperature, paper's ramp", yarn(2.0, 0.0, ramp="paper")),
        one("yarn 2, no temperature, fast 2", yarn(2.0, 0.0, fast=2.0)),
        one("longrope, 2 for the pairs that never turned once", LongRoPE(factors=(1.0,) * 20 + (2.0,) * 12)),
        one("dynamic-ntk", DynamicNTK(train_length=TRAINED)),
        one("self-extend 4096, groups of 3", SelfExtend(window=4096, group=3)),
        one("lm-infinite 8188", LMInfinite(window=TRAINED - 4)),
        one("rerope 3072", ReRoPE(window=3072)),
        one("rerope 5120", ReRoPE(window=5120)),
        one("rerope 6144 + log-n", ReRoPE(window=6144), n),
        one("dual-chunk 4096", DualChunk(chunk=4096, train_length=TRAINED)),
        one("rerope 4096 on yarn 2, no temperature", ReRoPE(window=4096), yarn(2.0, 0.0)),
        one("streaming-llm 6144", StreamingLLM(window=6144)),
        one("ntk-mixed 2", NTKMixed(factor=2.0)),
        one("ntk-aware 2", NTKAware(factor=2.0)),
        one("ntk-fixed 2", NTKFixed(factor=2.0)),
        one("ntk-old 2", NTKOld(factor=2.0)),
        one("yarn 4", yarn(4.0, 0.1)),
        one("yarn 4, no temperature", yarn(4.0, 0.0)),
        one("yarn 3, no temperature", yarn(3.0, 0.0)),
        one("leaky 1024, reach 8192", leaky(1024, 8192)),
        one("llama3 4", Llama3(factor=4.0, train_length=TRAINED)),
        one("position-interpolation 2", PositionInterpolation(factor=2.0)),
        one("plain"),
        # Written down after all of those above were read: around the two that read best.
        one("dual-chunk 6144 + log-n", DualChunk(chunk=6144, train_length=TRAINED), n),
        one("dual-chunk 5120", DualChunk(chunk=5120, train_length=TRAINED)),
        one("dual-chunk 7168", DualChunk(chunk=7168, train_length=TRAINED)),
        one("leaky 2048, reach 6144", leaky(2048, 6144)),
        one("leaky 2048, reach 5120 + log-n", leaky(2048, 5120), n),
        one("leaky 3072, reach 6144 + log-n", leaky(3072, 6144), n),
        one("leaky 1024, reach 6144 + log-n", leaky(1024, 6144), n),
        one("leaky 1024, reach 4096 + log-n", leaky(1024, 4096), n),
        one("leaky 512, reach 6144 + log-n", leaky(512, 6144), n),
        # And after these.
        one("leaky 512, reach 4096 + log-n", leaky(512, 4096), n),
        one("leaky 1024, reach 3072 + log-n", leaky(1024, 3072), n),
        one("leaky 256, reach 4096 + log-n", leaky(256, 4096), n),
        one("leaky 128, reach 4096 + log-n", leaky(128, 4096), n),
        one("leaky 256, reach 5120 + log-n", leaky(256, 5120), n),
        one("leaky 256, reach 6144", leaky(256, 6144)),
    ]
    assert len({method.name for method in found}) == len(found)
    return found


def mixtures() -> list[Method]:
    """All of two readings or more, each as much as the others."""
    return [
        Method("mixture: " + ", ".join(names), of=names)
        for count in range(2, len(MIXED) + 1)
        for names in combinations(MIXED, count)
    ]


class Results:
    """(method, text) -> loss, and the file of lines that they come from; each: the losses of single tokens."""

    def __init__(self, path: Path, every: list[Method]) -> None:
        self.path, self.loss, self.seconds = path, dict[tuple[str, Text], float](), list[float]()
        self.each: dict[tuple[str, Text], list[float]] = {}
        known = {method.name: described(method) for method in every}
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for line in lines:
            told = json.loads(line)
            if known.get(told["method"]) != told["means"]:  # of another version of this list
                continue
            self._take(told["method"], (told["text"][0], told["text"][1]), told["loss"], told.get("each"))
            self.seconds.append(told["seconds"])

    def _take(self, name: str, text: Text, loss: float, each: list[float] | None) -> None:
        self.loss[name, text] = loss
        if each is None:  # a line of before there were mixtures
            return
        self.each[name, text] = each
        for mixture in mixtures():
            if all((one, text) in self.each for one in mixture.of):
                losses = zip(*(self.each[one, text] for one in mixture.of), strict=True)
                self.loss[mixture.name, text] = statistics.fmean(
                    -math.log(statistics.fmean(math.exp(-one) for one in token)) for token in losses
                )

    def add(self, method: Method, text: Text, each: list[float], seconds: float) -> None:
        line = {
            "schema": "paribus.reading/1",
            "method": method.name,
            "means": described(method),
            "text": text,
            "loss": statistics.fmean(each),
            "each": [round(one, 6) for one in each],
            "seconds": seconds,
            "versions": {"python": sys.version.split()[0], "torch": version("torch")},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(method.name, text, statistics.fmean(each), each)
        self.seconds.append(seconds)

    def mean(self, method: Method, texts: tuple[Text, ...]) -> float | None:
        """None where one of the texts was not read."""
        found = [self.loss.get((method.name, text)) for text in texts]
        return None if None in found else statistics.fmean(one for one in found if one is not None)

    def best(self, among: list[Method], texts: tuple[Text, ...], count: int) -> list[Method]:
        """By their mean over the texts, those that are compared with left out."""
        read = [method for method in among if not method.always and self.mean(method, texts) is not None]
        return sorted(read, key=lambda method: self.mean(method, texts) or 0.0)[:count]


def described(method: Method) -> str:
    return f"{method.layers!r} of the last {method.context}"


def asked(results: Results, every: list[Method], judge: bool) -> Iterator[tuple[Method, Text]]:
    """What is to be measured next, again and again, each round chosen by the one before it."""
    compared = [method for method in every if method.always]
    rounds: list[tuple[tuple[Text, ...], int]] = [(CHOOSE_ON[:1], len(every)), (CHOOSE_ON, SECOND)]
    chosen = every
    for place, (texts, count) in enumerate(rounds):
        if place > 0:
            chosen = compared + results.best(every, rounds[place - 1][0], count)
        for method in chosen:
            for text in texts:
                if (method.name, text) not in results.loss and not judge:
                    yield method, text
    for method in compared + finalists(results, every):
        for text in JUDGE_ON:
            if (method.name, text) not in results.loss:
                yield method, text
    if judge:
        return
    for text in (*CHOOSE_ON, *JUDGE_ON):
        for method in every:
            if method.name in MIXED and (method.name, text) not in results.each:
                yield method, text


def finalists(results: Results, every: list[Method]) -> list[Method]:
    """The best three on all texts to choose on, or on as many as were read by three."""
    for texts in (CHOOSE_ON[:end] for end in range(len(CHOOSE_ON), 0, -1)):
        if len(found := results.best(every, texts, THIRD)) == THIRD:
            return found
    return []


@cache
def opened() -> Any:
    from paribus.models.checkpoints.open import load_checkpoint
    from paribus.tokenizer.byte_level import ByteLevelBPE

    model, checkpoint = load_checkpoint("smollm2")
    assert checkpoint.tokenizer is not None
    return model, ByteLevelBPE(checkpoint.tokenizer)


@cache
def tokens(text: Text) -> Any:
    import torch

    from paribus.text.long_texts import long_text

    name, stretch = text
    ids = opened()[1].encode(long_text(name))[stretch * (LONG + 1) :][: LONG + 1]
    return torch.from_numpy(ids.astype("int64"))


def measured(method: Method, text: Text) -> list[float]:
    """The loss of each of the last tokens, in nats."""
    from paribus.context_extension.decoder import extend_layers
    from paribus.evaluation.reader import losses

    model, _ = opened()
    read = extend_layers(model, method.layers) if any(method.layers) else model
    window = tokens(text)[-(method.context + 1) :]
    return [float(one) for one in losses(read, window[None], LAST)[0].double()]


def tables(results: Results, every: list[Method]) -> str:
    cut = every[0]
    lines = []
    for title, texts in (("Chosen on", CHOOSE_ON), ("Judged on", JUDGE_ON)):
        names = " | ".join(f"{name} {stretch}" for name, stretch in texts)
        lines += [f"## {title}", "", f"| method | {names} | mean | against cutting |", "|---" * (len(texts) + 3) + "|"]
        both = [*every, *mixtures()]
        read = [method for method in both if any((method.name, text) in results.loss for text in texts)]
        for method in sorted(read, key=lambda one: _order(results, one, texts)):
            losses = [results.loss.get((method.name, text)) for text in texts]
            cells = " | ".join("" if loss is None else f"{loss:.3f}" for loss in losses)
            mean, base = results.mean(method, texts), results.mean(cut, texts)
            whole = "" if mean is None else f"{mean:.4f}"
            gain = "" if mean is None or base is None else f"{mean - base:+.4f}"
            lines.append(f"| {method.name} | {cells} | {whole} | {gain} |")
        lines.append("")
    lines += [
        f"{one['subject']}: {one['ratio_median']:+.4f} nats, {'met' if one['met'] else 'not met'}"
        for one in goals(results, every)
    ]
    return "\n".join(lines)


def _order(results: Results, method: Method, texts: tuple[Text, ...]) -> tuple[int, float]:
    """Those that read most texts first, then those that read them best."""
    found = [results.loss[method.name, text] for text in texts if (method.name, text) in results.loss]
    return -len(found), statistics.fmean(found)


def goals(results: Results, every: list[Method]) -> list[dict[str, Any]]:
    """The method that was chosen, and the mixture, alone are held to the goal; the others stand in the table."""
    found = []
    for method in (*finalists(results, every)[:1], *results.best(mixtures(), CHOOSE_ON, 1)):
        for words, texts in (("the two documents", GOAL), ("all judging texts", JUDGE_ON)):
            ours, theirs = results.mean(method, texts), results.mean(every[0], texts)
            if ours is None or theirs is None:
                continue
            each = sorted(results.loss[method.name, text] - results.loss[every[0].name, text] for text in texts)
            found.append(
                {
                    "case": f"loss of the last {LAST} of {LONG} tokens, {words}, against cutting to {TRAINED}",
                    "subject": f"{method.name}, {words}",
                    "peer": every[0].name,
                    "ratio_median": ours - theirs,
                    "low": each[0],
                    "high": each[-1],
                    "goal": "< 0 nats",
                    "met": ours < theirs,
                }
            )
    return found


def report(results: Results, every: list[Method], command: str) -> dict[str, Any]:
    texts = [*CHOOSE_ON, *JUDGE_ON]
    rows = [
        {
            "case": f"{name} {stretch}",
            "subject": method.name,
            "metric": f"loss of the last {LAST} tokens",
            "unit": "nats per token",
            "runs": [loss],
            "median": loss,
        }
        for method in (*every, *mixtures())
        for name, stretch in texts
        if (loss := results.loss.get((method.name, (name, stretch)))) is not None
    ]
    return {
        "schema": "paribus.benchmark/1",
        "name": "reading_16k",
        "command": command,
        "machine": f"{os.cpu_count()} CPUs, {sum(results.seconds):.0f} s in all",
        "versions": {"python": sys.version.split()[0], "torch": version("torch")},
        "rows": rows,
        "goals": goals(results, every),
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("paribus-runs/reading_16k.jsonl"))
    parser.add_argument("--most", type=int)
    for flag in ("--judge", "--show", "--list", "--json"):
        parser.add_argument(flag, action="store_true")
    told = parser.parse_args(arguments)
    every = methods()
    if told.list:
        print("\n".join(f"{method.name}: {described(method)}" for method in every))
        return 0
    results, done = Results(told.results, every), 0
    while not told.show and (told.most is None or done < told.most):
        following = next(asked(results, every, told.judge), None)
        if following is None:
            break
        began = time.perf_counter()
        each = measured(*following)
        results.add(*following, each, time.perf_counter() - began)
        done += 1
        method, (name, stretch) = following
        print(
            f"{name} {stretch}: {statistics.fmean(each):.4f}  {method.name}  ({results.seconds[-1]:.0f} s)",
            file=sys.stderr,
            flush=True,
        )
    if told.json:
        print(json.dumps(report(results, every, " ".join(["benchmarks/reading_16k.py", *arguments])), indent=1))
    else:
        print(tables(results, every))
    return 0


if __name__ == "__main__":
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # read when a process starts; halves the time of a long reading
        os.execve(sys.executable, [sys.executable, *sys.argv], {**KEEP_MEMORY, **os.environ})
    sys.exit(main(sys.argv[1:]))
