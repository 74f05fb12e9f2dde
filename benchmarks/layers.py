"""Whole layers of every mixer: a training step at short lengths, and a decoding step by batch and tokens held.

    python benchmarks/layers.py [--json] [--quick] [--threads 2] [--rounds 5] [--only training,decoding] [--cpu-time]

Training: one mixer with its gated network and norms, d_model 256, forward and backward on 4,096 tokens in all, random
inputs; subjects take turns within each round. Decoding: one mixer alone, d_model 1024, 16 heads of 64 numbers, after a
prompt of random vectors; where one step in so many folds a block into a table, that step has a row of its own, repeated
from a copy of the state. float32. --quick takes small sizes, to try the command. No peer, no goal: these are
the tables of docs/choosing/mixers.md.
"""

import argparse
import copy
import json
import sys
from functools import partial

import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.latent import Latent
from paribus.attention.linear import LinearAttention
from paribus.attention.vq import VQAttention
from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.mixer import MixerConfig
from paribus.layers.norms.rms_norm import RMSNorm
from paribus.layers.parameters import draw
from paribus.models.decoder import Block
from paribus.quantizers.ema import EMA
from report import CPU, WALL, Table, grid, listed, loaded, timed, times, versions

BLOCK = 128  # tokens of a block of quantised keys


def training(table: Table, options: argparse.Namespace) -> None:
    d_model, tokens = (32, 256) if options.quick else (256, 4096)
    mixers: dict[str, MixerConfig] = {
        "softmax, GroupedQuery": GroupedQuery.Config(d_model=d_model, n_heads=4),
        "linear, LinearAttention, elu + 1": LinearAttention.Config(d_model=d_model, n_heads=4),
        "quantised keys, VQAttention, 512 codes": VQAttention.Config(
            d_model=d_model, n_heads=4, quantizer=EMA.Config(n_codes=8 if options.quick else 512, commitment=1e-4)
        ),
    }
    network = GatedFeedForward.Config(d_model=d_model, d_ff=8 * d_model // 3 // 4 * 4)
    blocks = {name: Block(mixer, network, RMSNorm.Config(d_model=d_model)) for name, mixer in mixers.items()}
    for block in blocks.values():
        draw(block, 0)
    for length in (64, 128) if options.quick else (128, 256, 512, 1024, 2048, 4096):
        x, at = torch.randn(tokens // length, length, d_model), torch.arange(length)[None]

        subjects = {name: partial(step, block, x, at) for name, block in blocks.items()}
        times(subjects, 1, options.clock)
        case = f"training step of a layer, d_model {d_model}, {tokens} tokens, n = {length}, float32"
        for name, runs in times(subjects, options.rounds, options.clock).items():
            table.row(case, name, "time a token", "us", [1e6 * seconds / tokens for seconds in runs])


def step(block: Block, x: torch.Tensor, at: torch.Tensor) -> None:
    given = x.clone().requires_grad_()
    block(given, at).square().mean().backward()


def decoding(table: Table, options: argparse.Namespace) -> None:
    d_model, heads = (64, 4) if options.quick else (1024, 16)
    kinds: dict[str, MixerConfig] = {
        f"MHA, {heads} key heads": GroupedQuery.Config(d_model=d_model, n_heads=heads),
        "GQA, 4 key heads": GroupedQuery.Config(d_model=d_model, n_heads=heads, n_kv_heads=4),
        "MQA, 1 key head": GroupedQuery.Config(d_model=d_model, n_heads=heads, n_kv_heads=1),
        "MLA, d_c 256, d_r 32": Latent.Config(
            d_model=d_model, n_heads=heads, latent=min(256, 2 * d_model), rope_dim=min(32, d_model // heads)
        ),
        "linear, elu + 1": LinearAttention.Config(d_model=d_model, n_heads=heads),
        "VQ, 512 codes": VQAttention.Config(
            d_model=d_model, n_heads=heads, block=BLOCK, quantizer=EMA.Config(n_codes=512, commitment=1e-4)
        ),
    }
    for batch in (1, 2) if options.quick else (1, 8, 32):
        for held in (BLOCK, 2 * BLOCK) if options.quick else (512, 4096, 16384):
            if batch * held > 1 << 15:  # prompts beyond take minutes to read
                continue
            case = f"decoding step of a mixer, d_model {d_model}, batch {batch}, {held} tokens held, float32"
            for name, config in kinds.items():
                plain, folding = steps(config, batch, held, options)
                table.row(case, name, "time of a step", "ms", plain)
                if folding:
                    table.row(case, name, "time of a step that folds a block", "ms", folding)


@torch.no_grad()
def steps(config: MixerConfig, batch: int, held: int, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Milliseconds of single steps after `held` tokens: those that change little, and those that fold a block."""
    mixer = config.build().eval()
    draw(mixer, 0)
    width = config.d_model or 0
    cpu = torch.device("cpu")
    rounds = options.rounds
    state = mixer.start(batch, held + rounds + 2, torch.float32, cpu)
    for begin in range(0, held, 512):
        n = min(512, held - begin)
        _, state = mixer.prefill(torch.randn(batch, n, width), torch.arange(begin, begin + n)[None], state)
    x = torch.randn(batch, 1, width)

    def one(place: int) -> float:
        nonlocal state
        seconds, (_, state) = timed(partial(mixer.prefill, x, torch.full((1, 1), place), state), options.clock)
        return 1e3 * seconds

    for place in (held, held + 1):
        one(place)
    plain = [one(held + 2 + turn) for turn in range(rounds)]
    if not isinstance(config, VQAttention.Config):
        return plain, []
    place = held + 2 + rounds
    while state.held + 1 < state.room:  # until the next step folds
        one(place)
        place += 1
    folding = []
    for _ in range(rounds):
        before = copy.deepcopy(state)
        folding.append(one(place))
        state = before
    return plain, folding


PARTS = {"training": training, "decoding": decoding}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS), help="which parts, by comma: " + ", ".join(PARTS))
    parser.add_argument("--cpu-time", action="store_true", help="for a busy machine, with --threads 1")
    options = parser.parse_args()
    options.clock = CPU if options.cpu_time else WALL
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    table = Table(aloud=True)
    with loaded(options.threads, options.cpu_time) as where:
        for part in options.only.split(","):
            PARTS[part](table, options)
    told = table.result("layers", "python " + " ".join(sys.argv), where, versions("torch"))
    if options.json:
        print(json.dumps(told, indent=1))
        return
    print(f"# Layers\n\n`{told['command']}`\n\n{listed(told['versions'])}; {listed(where)}.\n")
    lines = [
        (
            row["case"],
            row["subject"],
            f"{row['metric']}, {row['unit']}",
            f"{row['median']:.4g}",
            f"{min(row['runs']):.4g} - {max(row['runs']):.4g}",
        )
        for row in table.rows
    ]
    print(grid("| case | who | what | median | from - to |", lines))


if __name__ == "__main__":
    main()
