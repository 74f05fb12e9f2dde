"""Decoding a real checkpoint: SmolLM2-135M in our decoder and in transformers, greedy, after a prompt of 1024 tokens.

128 tokens, batch 1, all cores. The speed is that of the tokens after the first, so that reading the prompt does not
count; it has a row of its own. transformers runs with each of its caches (dynamic, static), sdpa, and its best counts.
Then the texts are compared: in float32 all tokens should be the same; in bfloat16 the first difference may come only
where the two best logits are closer than one unit in the last place of bfloat16 at their size. In float32 all logits of
the prompt are compared too.

    python benchmarks/generation.py [--rounds R] [--tokens N] [--prompt N] [--json]

Needs paribus[checkpoints,transformers]; fetches smollm2 once.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from report import JSON, Table, at_least, grid, machine, ratios, versions

OURS, PEERS = "paribus", ("transformers, dynamic cache", "transformers, static cache")
CLOSE = 1e-3  # between logits in float32
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Write = Callable[[torch.Tensor, int], torch.Tensor]  # prompt, count -> new tokens


def ours(model: Any) -> Write:
    from paribus.generation.generate import generate

    return lambda prompt, count: generate(model, prompt, count)[0]


def theirs(model: Any, cache: str) -> Write:
    def write(prompt: torch.Tensor, count: int) -> torch.Tensor:
        told = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
            cache_implementation=None if cache == "dynamic" else cache,
        )
        return told[0, prompt.shape[1] :]

    return write


@torch.no_grad()
def gap(model: Any, prompt: torch.Tensor, told: torch.Tensor, at: int) -> tuple[float, float]:
    """At the first difference: distance of the two best logits, and one unit in bfloat16's last place at their size."""
    logits = model(torch.cat([prompt[0], told[:at]])[None], last=1)[0, -1].float()
    best = logits.topk(2).values
    size = 2.0 ** torch.floor(torch.log2(best[0].abs())) * torch.finfo(torch.bfloat16).eps
    return float(best[0] - best[1]), float(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--prompt", type=int, default=1024)
    options = parser.parse_args()
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from paribus.models.checkpoints.open import load_checkpoint, save_checkpoint
    from paribus.text.corpora.python_docs import PythonDocs
    from paribus.tokenizer.byte_level import ByteLevelBPE

    logging.disable_progress_bar()
    loaded = load_checkpoint("smollm2")
    assert loaded.checkpoint.tokenizer is not None
    codec = ByteLevelBPE(loaded.checkpoint.tokenizer)
    longest = max((one.data for one in PythonDocs().documents()), key=len)
    prompt = torch.from_numpy(codec.encode(longest))[None, : options.prompt]
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(loaded.model, Path(folder), 8192)
        for name, dtype in DTYPES.items():
            model = load_checkpoint("smollm2", dtype).model
            peer = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
            writers = {OURS: ours(model)} | {one: theirs(peer, one.split()[1]) for one in PEERS}
            speeds, texts = measure(writers, prompt, options, name, table)
            best = max(PEERS, key=lambda one: statistics.median(speeds[one]))
            faster = ratios(speeds[OURS], speeds[best])
            table.goal(f"decoding, {name}", best, faster, ">= 1.3x", at_least(1.3))
            table.goals.append(agreement(model, prompt, texts[OURS], texts[best], name, best))
            if dtype == torch.float32:
                table.goals.append(nearness(model, peer, prompt))
    if options.json:
        result = table.result("generation", " ".join(sys.argv), machine(), versions("torch", "transformers"))
        print(json.dumps(result, indent=1))
        return
    lines = [
        (
            row["case"],
            row["subject"],
            f"{row['median']:.2f}",
            f"{min(row['runs']):.2f} to {max(row['runs']):.2f}",
            row["unit"],
        )
        for row in table.rows
    ]
    print(grid("| case | subject | median | range | unit |", lines))
    for one in table.goals:
        said = (
            f"{one['ratio_median']:.2f}x ({one['low']:.2f} to {one['high']:.2f})"
            if "ratio_median" in one
            else one["found"]
        )
        print(f"\n{one['case']}, against {one['peer']}: {said}; {one['goal']}: {'met' if one['met'] else 'missed'}")


def measure(
    writers: dict[str, Write], prompt: torch.Tensor, options: argparse.Namespace, dtype: str, table: Table
) -> tuple[dict[str, list[float]], dict[str, torch.Tensor]]:
    """Tokens/s after the first token, and the texts."""
    speeds: dict[str, list[float]] = {name: [] for name in writers}
    reading: dict[str, list[float]] = {name: [] for name in writers}
    texts = {}
    for turn in range(options.rounds):
        for name, write in writers.items():
            began = time.perf_counter()
            write(prompt, 1)
            first = time.perf_counter()
            texts[name] = write(prompt, options.tokens + 1)
            done = time.perf_counter()
            reading[name].append(first - began)
            speeds[name].append(options.tokens / max(1e-9, (done - first) - (first - began)))
            sys.stderr.write(f"round {turn + 1}, {dtype}: {name}: {speeds[name][-1]:.1f} tokens/s\n")
    for name in writers:
        shape = f"{dtype}, {options.tokens} tokens after {prompt.shape[1]}, {torch.get_num_threads()} threads"
        table.row(f"decoding, {shape}", name, "decoding", "tokens/s", speeds[name])
        table.row(f"reading the prompt, {shape}", name, "reading the prompt", "s", reading[name])
    return speeds, texts


@torch.no_grad()
def nearness(model: Any, peer: Any, prompt: torch.Tensor) -> JSON:
    """Of the logits of the whole prompt, a part of it at a time."""
    ours, theirs = model.hidden(prompt)[0], peer.model(prompt).last_hidden_state[0]
    worst = max(
        float((x @ model.output_matrix.T - y @ peer.lm_head.weight.T).abs().max())
        for x, y in zip(ours.split(64), theirs.split(64), strict=True)
    )
    case = {"case": "logits of the prompt, float32", "subject": OURS, "peer": "transformers"}
    return case | {"found": f"largest difference {worst:.2g}", "goal": f"<= {CLOSE:g}", "met": worst <= CLOSE}


def agreement(
    model: Any, prompt: torch.Tensor, ours: torch.Tensor, theirs: torch.Tensor, dtype: str, peer: str
) -> JSON:
    differs = (ours != theirs).nonzero()
    case = {"case": f"the same tokens, {dtype}", "subject": OURS, "peer": peer}
    if len(differs) == 0:
        return case | {"found": f"all {len(ours)} are the same", "goal": "the same, or a near tie", "met": True}
    at = int(differs[0])
    distance, unit = gap(model, prompt, ours, at)
    met = dtype == "bfloat16" and distance <= unit
    found = f"first difference at token {at}, where the two best logits are {distance:.4f} apart (one unit: {unit:.4f})"
    return case | {"found": found, "goal": "the same" if dtype == "float32" else "a near tie at most", "met": met}


if __name__ == "__main__":
    main()
