"""Training speed of a small decoder: ours, nanoGPT's own model and step, and a transformers Llama, in one run.

4 layers, d_model 128, 4 heads, length 256, bytes, about 0.82 M parameters, batch 16, AdamW at a constant rate,
gradients clipped at 1, on the sources of this Python. Every subject runs in each mode, fp32 and bf16: one process of
two threads, and two processes of one thread side by side, whose tokens are added up. The modes take turns in every
round; ratios are within a round. Ours runs with the memory settings of our workers, nanoGPT as it is and with them.

Then every subject is trained from the start on the same batches, for two seeds: ours once with its kernels and once by
their slow twins. The last losses say whether speed was bought with quality.

    python benchmarks/training_throughput.py [--nanogpt PATH] [--rounds R] [--steps N] [--curve STEPS] [--json]

transformers takes part where it is installed.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from report import Table, at_least, grid, machine, ratios, versions

LENGTH, BATCH, LAYERS, HEADS, WIDTH = 256, 16, 4, 4, 128
RATE = 1e-3
LAST = 10  # steps whose mean loss ends a curve
MODES = {"2 threads": (1, 2), "2 processes": (2, 1)}
DTYPES = ("float32", "bfloat16")
OURS, TWINS, PEER, PEER_KEEPING = "paribus", "paribus, slow twins", "nanoGPT", "nanoGPT, our memory settings"
LLAMA = "transformers Llama"

Run = Callable[[int], list[float]]  # steps -> the loss of each


def ours(dtype: str, data: Any, seed: int) -> tuple[Run, int]:
    """Our decoder with RoPE and GELU, and the step of our loop."""
    from paribus.attention.grouped_query import GroupedQuery
    from paribus.layers.activations.gelu import GELU
    from paribus.layers.feed_forward.plain import FeedForward
    from paribus.layers.parameters import draw
    from paribus.models.decoder import DecoderLM
    from paribus.training.loop import Journal, train
    from paribus.training.recipe import Recipe
    from paribus.training.schedules.warmup_constant import WarmupConstant

    config = DecoderLM.Config(
        n_layers=LAYERS,
        d_model=WIDTH,
        mixer=GroupedQuery.Config(n_heads=HEADS),
        feed_forward=FeedForward.Config(d_ff=4 * WIDTH, activation=GELU()),
    )
    model = config.build()
    draw(model, seed)
    recipe = Recipe(batch=BATCH, dtype=dtype, schedule=WarmupConstant(warmup=0.0))  # type: ignore[arg-type]

    class Losses(Journal):
        def __init__(self) -> None:
            self.losses: list[float] = []

        def event(self, event: dict[str, Any]) -> None:
            self.losses.append(event["loss"])

    def run(steps: int) -> list[float]:
        journal = Losses()
        train(model, data, recipe, learning_rate=RATE, steps=steps, journal=journal)
        return journal.losses

    return run, config.n_parameters()


def without_kernels() -> None:
    """Let every kernel's slow twin do its work."""
    from paribus.ops import kernels

    kernels.usable = lambda *tensors: False


def plain_loop(model: Any, loss_of: Callable[[Any, Any], Any], optimizer: Any, dtype: str, data: Any) -> Run:
    """The step of nanoGPT's train.py: forward under autocast, backward, clip, AdamW."""
    import torch

    autocast = torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16")

    def run(steps: int) -> list[float]:
        losses = []
        for step in range(steps):
            batch = data.batch(step)
            tokens, targets = torch.from_numpy(batch.tokens), torch.from_numpy(batch.targets)
            with autocast:
                loss = loss_of(tokens, targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(float(loss.detach()))
        return losses

    return run


def nanogpt(dtype: str, data: Any, seed: int, path: str) -> tuple[Run, int]:
    import torch

    spec = importlib.util.spec_from_file_location("nanogpt_model", Path(path) / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    torch.manual_seed(seed)
    shape = {"block_size": LENGTH, "vocab_size": 256, "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH}
    model = module.GPT(module.GPTConfig(**shape, dropout=0.0, bias=False))
    optimizer = model.configure_optimizers(0.1, RATE, (0.9, 0.95), "cpu")
    run = plain_loop(model, lambda tokens, targets: model(tokens, targets)[1], optimizer, dtype, data)
    return run, sum(weight.numel() for weight in model.parameters())


def llama(dtype: str, data: Any, seed: int) -> tuple[Run, int]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    # A gated network has three matrices: two thirds of the width for equal parameters, rounded to a multiple of 4.
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=WIDTH,
        intermediate_size=340,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def loss_of(tokens: Any, targets: Any) -> Any:
        logits = model(input_ids=tokens).logits.float()
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    run = plain_loop(model, loss_of, optimizer, dtype, data)
    return run, sum(weight.numel() for weight in model.parameters())


def child(options: argparse.Namespace) -> None:
    """One process: for each line of stdin, train some steps and tell how long that took and what the losses were."""
    import torch

    from paribus.data.text_source import Text
    from paribus.lab.stdout import private_stdout
    from paribus.text.corpora.python_stdlib import PythonStdlib

    protocol = private_stdout()
    data = Text(corpus=PythonStdlib()).prepare().batches(seed=0, batch=BATCH, length=LENGTH)
    subject: str = options.child
    if subject == TWINS:
        without_kernels()

    def make(dtype: str, seed: int) -> tuple[Run, int]:
        if subject in (OURS, TWINS):
            return ours(dtype, data, seed)
        return llama(dtype, data, seed) if subject == LLAMA else nanogpt(dtype, data, seed, options.nanogpt)

    made = {dtype: make(dtype, 0) for dtype in DTYPES}
    print(json.dumps({"n_parameters": made[DTYPES[0]][1]}), file=protocol, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        torch.set_num_threads(asked["threads"])
        run = made[asked["dtype"]][0] if asked["seed"] is None else make(asked["dtype"], asked["seed"])[0]
        if asked["seed"] is None:
            run(1)
        began, spent = time.perf_counter(), time.process_time()
        losses = run(asked["steps"])
        told = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - spent, "losses": losses}
        print(json.dumps(told), file=protocol, flush=True)


class Subject:
    """Two processes of one subject, waiting."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        from paribus.lab.executors.base import KEEP_MEMORY

        command = [sys.executable, __file__, "--child", name, "--nanogpt", options.nanogpt or ""]
        own = {**os.environ, "OMP_NUM_THREADS": "2"}
        if name in (OURS, TWINS, PEER_KEEPING):
            own |= KEEP_MEMORY  # as our workers run
        quiet = None if os.environ.get("VERBOSE") else subprocess.DEVNULL
        self.processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet, text=True, env=own)
            for _ in range(2)
        ]
        self.n_parameters: int = min(self._hear(one)["n_parameters"] for one in self.processes)

    @staticmethod
    def _hear(process: "subprocess.Popen[str]") -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit("a process of the benchmark died: run again with VERBOSE=1 to see why")
        told: dict[str, Any] = json.loads(line)
        return told

    def run(self, processes: int, threads: int, dtype: str, steps: int, fresh: bool = False) -> list[dict[str, Any]]:
        """Let some of the processes go together. fresh: from the start, each with a seed of its own."""
        for number, process in enumerate(self.processes[:processes]):
            assert process.stdin is not None
            seed = number if fresh else None
            process.stdin.write(json.dumps({"threads": threads, "dtype": dtype, "steps": steps, "seed": seed}) + "\n")
            process.stdin.flush()
        return [self._hear(process) for process in self.processes[:processes]]

    def close(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def judge(table: Table, speeds: dict[tuple[str, str, str], list[float]]) -> None:
    """Our grid against each peer's best type of numbers, within rounds."""

    def best(subject: str, mode: str) -> str:
        return max(DTYPES, key=lambda dtype: statistics.median(speeds[subject, dtype, mode]))

    ours_in = best(OURS, "2 processes")
    for peer in (PEER, PEER_KEEPING):
        for mode, least in (("2 processes", 1.4), ("2 threads", 1.6)):
            if (peer, ours_in, mode) in speeds:
                dtype = best(peer, mode)
                faster = ratios(speeds[OURS, ours_in, "2 processes"], speeds[peer, dtype, mode])
                case = f"our 2 processes, {ours_in}, against {peer}'s {mode}, {dtype}"
                table.goal(case, peer, faster, f">= {least}x", at_least(least))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one round of two steps: whether everything runs")
    parser.add_argument("--nanogpt", help="a checkout of nanoGPT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--curve", type=int, default=100, help="steps of the loss curves; 0: none")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    if options.quick:
        options.rounds, options.steps, options.curve = 1, 2, 2
    names = [OURS, TWINS]
    names += [PEER, PEER_KEEPING] if options.nanogpt else []
    names += [LLAMA] if importlib.util.find_spec("transformers") else []
    subjects = {name: Subject(name, options) for name in names}
    speeds: dict[tuple[str, str, str], list[float]] = {}
    table = Table()
    for turn in range(options.rounds):
        for dtype in DTYPES:
            for mode, (processes, threads) in MODES.items():
                for name in names:
                    if name == TWINS:
                        continue
                    told = subjects[name].run(processes, threads, dtype, options.steps)
                    speed = sum(options.steps * BATCH * LENGTH / one["seconds"] for one in told)
                    speeds.setdefault((name, dtype, mode), []).append(speed)
                    sys.stderr.write(f"round {turn + 1}: {name}, {dtype}, {mode}: {speed:,.0f} tokens/s\n")
    for (name, dtype, mode), runs in speeds.items():
        table.row(f"{dtype}, {mode}", name, "training speed", "tokens/s", runs)
    if options.curve:
        for name in names:
            if name == PEER_KEEPING:
                continue
            told = subjects[name].run(2, 1, "bfloat16", options.curve, fresh=True)
            runs = [statistics.mean(one["losses"][-LAST:]) for one in told]
            table.row(f"bfloat16, after {options.curve} steps", name, "training loss", "nats", runs)
            sys.stderr.write(f"{name}: loss {runs}\n")
    for subject in subjects.values():
        subject.close()
    judge(table, speeds)
    if options.json:
        found = versions("torch", "transformers")
        print(json.dumps(table.result("training_throughput", " ".join(sys.argv), machine(), found), indent=1))
        return

    def cells(row: dict[str, Any]) -> tuple[str, ...]:
        form = ",.0f" if row["unit"] == "tokens/s" else ".3f"
        low, middle, high = (f"{x:{form}}" for x in (min(row["runs"]), row["median"], max(row["runs"])))
        size, measure = subjects[row["subject"]].n_parameters, f"{row['metric']}, {row['unit']}"
        return row["subject"], f"{size:,}", row["case"], measure, middle, f"{low} to {high}"

    print(grid("| subject | parameters | dtype, mode | measure | median | range |", map(cells, table.rows)))
    for one in table.goals:
        met = "met" if one["met"] else "missed"
        print(
            f"\n{one['case']}: {one['ratio_median']:.2f}x ({one['low']:.2f} to {one['high']:.2f}), {one['goal']}: {met}"
        )


if __name__ == "__main__":
    main()
