"""Training speed of a small decoder: ours, nanoGPT's own model and step, and a transformers Llama, in one run.

4 layers, d_model 128, 4 heads, length 256, bytes, about 0.82 M parameters, batch 16, AdamW, gradients clipped at 1, on
the sources of this Python. Every subject runs in each mode: one process of two threads, and two processes of one thread
side by side, whose tokens are added up. The modes take turns in every round; ratios are within a round.

    python benchmarks/training_throughput.py [--nanogpt PATH] [--rounds R] [--steps N] [--json]
"""

import argparse
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LENGTH, BATCH, LAYERS, HEADS, WIDTH = 256, 16, 4, 4, 128
RATE = 1e-3
MODES = {"2 threads": (1, 2), "2 processes": (2, 1)}
DTYPES = ("float32", "bfloat16")


def ours(dtype: str, data: Any) -> tuple[Callable[[int], float], int]:
    """Our decoder with RoPE and GELU, and the step of our loop."""
    from paribus.attention.grouped_query import GroupedQuery
    from paribus.layers.activations.gelu import GELU
    from paribus.layers.feed_forward.plain import FeedForward
    from paribus.layers.parameters import draw
    from paribus.models.decoder import DecoderLM
    from paribus.training.loop import train
    from paribus.training.recipe import Recipe

    config = DecoderLM.Config(
        n_layers=LAYERS,
        d_model=WIDTH,
        mixer=GroupedQuery.Config(n_heads=HEADS),
        feed_forward=FeedForward.Config(d_ff=4 * WIDTH, activation=GELU()),
    )
    model = config.build()
    draw(model, 0)
    recipe = Recipe(batch=BATCH, dtype=dtype)  # type: ignore[arg-type]

    def run(steps: int) -> float:
        return train(model, data, recipe, learning_rate=RATE, steps=steps).final_loss

    return run, config.n_parameters()


def plain_loop(model: Any, loss_of: Callable[[Any, Any], Any], optimizer: Any, dtype: str, data: Any) -> Any:
    """The step of nanoGPT's train.py: forward under autocast, backward, clip, AdamW."""
    import torch

    autocast = torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16")

    def run(steps: int) -> float:
        value = math.nan
        for step in range(steps):
            batch = data.batch(step)
            tokens, targets = torch.from_numpy(batch.tokens), torch.from_numpy(batch.targets)
            with autocast:
                loss = loss_of(tokens, targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            value = float(loss.detach())
        return value

    return run


def nanogpt(dtype: str, data: Any, path: str) -> tuple[Callable[[int], float], int]:
    import torch

    spec = importlib.util.spec_from_file_location("nanogpt_model", Path(path) / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    shape = {"block_size": LENGTH, "vocab_size": 256, "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH}
    model = module.GPT(module.GPTConfig(**shape, dropout=0.0, bias=False))
    optimizer = model.configure_optimizers(0.1, RATE, (0.9, 0.95), "cpu")
    run = plain_loop(model, lambda tokens, targets: model(tokens, targets)[1], optimizer, dtype, data)
    return run, sum(weight.numel() for weight in model.parameters())


def llama(dtype: str, data: Any) -> tuple[Callable[[int], float], int]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
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
    """One process: warm up, wait for the start, run, tell."""
    import torch

    from paribus.data.text_source import Text
    from paribus.text.corpora.python_stdlib import PythonStdlib

    torch.set_num_threads(options.threads)
    data = Text(corpus=PythonStdlib()).prepare().batches(seed=0, batch=BATCH, length=LENGTH)
    make: dict[str, Callable[[], tuple[Callable[[int], float], int]]] = {
        "paribus": lambda: ours(options.dtype, data),
        "nanoGPT": lambda: nanogpt(options.dtype, data, options.nanogpt),
        "transformers Llama": lambda: llama(options.dtype, data),
    }
    run, n_parameters = make[options.child]()
    run(3)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    loss = run(options.steps)
    seconds = time.perf_counter() - began
    speed = options.steps * BATCH * LENGTH / seconds
    print(json.dumps({"tokens_per_second": speed, "loss": loss, "n_parameters": n_parameters}))


def measure(subject: str, dtype: str, mode: str, options: argparse.Namespace) -> dict[str, float]:
    """Start the processes of a mode, let them go together, add up their speeds."""
    from paribus.lab.executors.base import KEEP_MEMORY

    processes, threads = MODES[mode]
    command = [sys.executable, __file__, "--child", subject, "--dtype", dtype, "--threads", str(threads)]
    command += ["--steps", str(options.steps), "--nanogpt", options.nanogpt or ""]
    own = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if subject == "paribus":
        own |= KEEP_MEMORY  # as our workers run
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own)
        for _ in range(processes)
    ]
    for one in children:
        assert one.stdout is not None
        while (line := one.stdout.readline()) and line != "ready\n":
            pass
    for one in children:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    told = [json.loads(one.communicate()[0].splitlines()[-1]) for one in children]
    return {
        "tokens_per_second": sum(one["tokens_per_second"] for one in told),
        "loss": told[0]["loss"],
        "n_parameters": told[0]["n_parameters"],
    }


def goal(case: str, peer: str, ratios: list[float], at_least: float) -> dict[str, Any]:
    middle = statistics.median(ratios)
    return {
        "case": case,
        "subject": "paribus",
        "peer": peer,
        "ratio_median": middle,
        "low": min(ratios),
        "high": max(ratios),
        "goal": f">= {at_least}x",
        "met": middle >= at_least,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--nanogpt", help="a checkout of nanoGPT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--dtype", default="float32", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    subjects = ["paribus"]
    subjects += ["nanoGPT"] if options.nanogpt else []
    subjects += ["transformers Llama"] if importlib.util.find_spec("transformers") else []
    speeds: dict[tuple[str, str, str], list[float]] = {}
    losses: dict[tuple[str, str], float] = {}
    sizes: dict[str, float] = {}
    for turn in range(options.rounds):
        for dtype in DTYPES:
            for mode in MODES:
                for subject in subjects:
                    told = measure(subject, dtype, mode, options)
                    speeds.setdefault((subject, dtype, mode), []).append(told["tokens_per_second"])
                    losses[subject, dtype] = told["loss"]
                    sizes[subject] = told["n_parameters"]
                    line = f"round {turn + 1}: {subject}, {dtype}, {mode}: {told['tokens_per_second']:,.0f} tokens/s\n"
                    sys.stderr.write(line)
    goals = []
    if options.nanogpt:
        best = {mode: max(DTYPES, key=lambda d: statistics.median(speeds["nanoGPT", d, mode])) for mode in MODES}
        grid = max(DTYPES, key=lambda d: statistics.median(speeds["paribus", d, "2 processes"]))
        for mode, at_least in (("2 processes", 1.4), ("2 threads", 1.6)):
            pairs = zip(speeds["paribus", grid, "2 processes"], speeds["nanoGPT", best[mode], mode], strict=True)
            case = f"our two processes, {grid}, against nanoGPT's {mode}, {best[mode]}"
            goals.append(goal(case, "nanoGPT", [a / b for a, b in pairs], at_least))
    rows = [
        {
            "case": f"{dtype}, {mode}",
            "subject": subject,
            "metric": "training speed",
            "unit": "tokens/s",
            "runs": runs,
            "median": statistics.median(runs),
        }
        for (subject, dtype, mode), runs in speeds.items()
    ]
    if options.json:
        import torch

        result = {
            "schema": "paribus.benchmark/1",
            "name": "training_throughput",
            "command": " ".join(sys.argv),
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "rows": rows,
            "goals": goals,
        }
        print(json.dumps(result, indent=1))
        return
    print("| subject | parameters | dtype, mode | tokens/s, median | range | loss after the last step |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        loss = losses[row["subject"], row["case"].split(",")[0]]
        low, high = min(row["runs"]), max(row["runs"])
        print(
            f"| {row['subject']} | {sizes[row['subject']]:,} | {row['case']} | {row['median']:,.0f} | "
            f"{low:,.0f} to {high:,.0f} | {loss:.3f} |"
        )
    for one in goals:
        met = "met" if one["met"] else "missed"
        print(
            f"\n{one['case']}: {one['ratio_median']:.2f}x ({one['low']:.2f} to {one['high']:.2f}), {one['goal']}: {met}"
        )


if __name__ == "__main__":
    main()
