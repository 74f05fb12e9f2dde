"""Sequence mixers beside their peers: quantised keys, absorbed latents, chunked linear attention.

    python benchmarks/mixers.py [--json] [--quick] [--cpu-time] [--threads 2] [--rounds 3] [--only vq,...] [--fla DIR]

Peers: torch's causal scaled_dot_product_attention; the DeepSeek-V2 attention of transformers, with its own cache; the
plain-torch reference of flash-linear-attention (`--fla`: a folder in which pip has installed fla-core and einops by
`pip install --no-deps --target DIR fla-core einops`; without it that part is left out). Wall clock, or CPU time of one
thread on a busy machine; subjects in turn
within every round, ratios within rounds. A slow peer runs fewer rounds and says so, never on a stored figure. --quick
takes a small part of the lengths and sizes, to try the command.
"""

import argparse
import importlib.util
import json
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.attention.backends import causal_by_kernel, our_kernels
from paribus.attention.latent import Latent
from paribus.attention.vq_blocks import Blocks, block_attention, near_bias
from paribus.layers.norms.rms_norm import RMSNorm
from paribus.layers.parameters import draw
from paribus.ops.causal_product import causal_product
from paribus.positions.pairing.interleaved import Interleaved
from paribus.positions.rotary import Rotary
from paribus.quantizers.nearest import look_up, nearest
from report import CPU, WALL, Table, Work, at_least, at_most, in_turn, loaded, page, ratios, spent, times, versions

HEADS, HEAD_DIM, CODES, BLOCK = 8, 64, 512, 128
FLAT_ROUNDS = 7  # five medians are compared with one another: of three rounds one slow one is enough to bend one


def leaves(n: int, count: int) -> list[Tensor]:
    return [torch.randn(1, HEADS, n, HEAD_DIM).requires_grad_() for _ in range(count)]


def quantised(q: Tensor, k: Tensor, v: Tensor, codes: Tensor) -> Tensor:
    """Everything that attention over quantised keys needs: the nearest codes, straight-through keys, the blocks."""
    which = nearest(k, codes)
    keys = k + (look_up(codes, which) - k.detach())
    cut = Blocks(BLOCK, 0, HEAD_DIM**-0.5, None)
    return block_attention(q, None, keys, None, v, near_bias(None, BLOCK, HEADS, q), which, codes, None, cut)[0]


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def all_pairs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What our softmax attention runs at this length."""
    scale = HEAD_DIM**-0.5
    known = "native" in our_kernels(q, k, v, scale)
    return causal_by_kernel(q, k, v, scale=scale) if known else sdpa(q, k, v)


def step(program: Callable[..., Tensor], given: tuple[Tensor, ...], gradient: Tensor | None) -> Work:
    """A forward pass, and a backward pass from `gradient` where there is one."""

    def work() -> None:
        with torch.set_grad_enabled(gradient is not None):
            y = program(*given)
            if gradient is not None:
                y.backward(gradient)

    return work


def vq(table: Table, options: argparse.Namespace) -> None:
    codes = torch.randn(HEADS, CODES, HEAD_DIM)
    for n, least in ((8192, 2.0), (32768, 8.0)) if not options.quick else ((2048, 2.0),):
        q, k, v = leaves(n, 3)
        gradient = torch.randn(1, HEADS, n, HEAD_DIM)

        for backward in (False, True):
            how = "forward + backward" if backward else "forward"
            case = f"quantised keys, B1 H8 d64, 512 codes, n = {n}, {how}, float32"
            subjects = {
                "paribus": step(quantised, (q, k, v, codes), gradient if backward else None),
                "torch SDPA causal": step(sdpa, (q, k, v), gradient if backward else None),
                "paribus, all pairs": step(all_pairs, (q, k, v), gradient if backward else None),
            }
            subjects["paribus"]()
            found = times(subjects, 1 if n > 8192 and backward else options.rounds, options.clock)
            for subject, runs in found.items():
                table.row(case, subject, "time", "ms", [1e3 * each for each in runs])
            faster = ratios(found["torch SDPA causal"], found["paribus"])
            table.goal(case, "torch SDPA causal", faster, f">= {least:g}x", at_least(least))


def flat(table: Table, options: argparse.Namespace) -> None:
    """Time per token of quantised keys over lengths: its spread around the median length."""
    codes = torch.randn(HEADS, CODES, HEAD_DIM)
    lengths = (1024, 2048) if options.quick else (4096, 8192, 16384, 32768, 65536)
    for backward in (False, True):
        per_token: dict[int, list[float]] = {n: [] for n in lengths}
        how = "forward + backward" if backward else "forward"
        case = f"quantised keys, B1 H8 d64, 512 codes, n = {lengths[0]} to {lengths[-1]}, {how}, float32"
        for turn in range((1 if options.quick else FLAT_ROUNDS) + 1):
            for n in lengths:
                q, k, v = leaves(n, 3)
                gradient = torch.randn(1, HEADS, n, HEAD_DIM) if backward else None
                seconds = spent(step(quantised, (q, k, v, codes), gradient), options.clock)
                if turn:  # the first round warms up
                    per_token[n].append(1e6 * seconds / n)
        for n, runs in per_token.items():
            table.row(case, f"paribus, n = {n}", "time per token", "us", runs)
        middles = [statistics.median(runs) for runs in per_token.values()]
        spread = [max(middles) / min(middles) - 1]
        table.goal(case, "itself at other lengths", spread, "largest / smallest - 1 <= 15 %", at_most(0.15))


def mla(table: Table, options: argparse.Namespace) -> None:
    """One decoding step of one layer over a filled cache, DeepSeek-V2's head sizes, 16 heads."""
    from transformers import DynamicCache
    from transformers.models.deepseek_v2.configuration_deepseek_v2 import DeepseekV2Config
    from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Attention, DeepseekV2RotaryEmbedding

    batch, context = (2, 512) if options.quick else (8, 8192)
    d_model = 2048
    config = DeepseekV2Config(
        hidden_size=d_model, num_attention_heads=16, num_key_value_heads=16, q_lora_rank=None, kv_lora_rank=512,
        qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, num_hidden_layers=1, rms_norm_eps=1e-6,
        max_position_embeddings=context + 64,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    theirs = DeepseekV2Attention(config, 0).eval()
    rotation = DeepseekV2RotaryEmbedding(config)
    ours = Latent.Config(
        d_model=d_model, n_heads=16, head_dim=128, latent=512, rope_dim=64, latent_norm=RMSNorm.Config(eps=1e-6),
        position=Rotary(pairing=Interleaved()),
    ).build()  # fmt: skip
    draw(ours, 0)
    copy_weights(ours, theirs)

    cache = DynamicCache(config=config)
    state = ours.start(batch, context + 64, torch.float32, torch.device("cpu"))
    case = f"MLA decoding, 16 heads, d_k 128, d_c 512, d_r 64, one layer, batch {batch}, context {context}, float32"
    with torch.no_grad():
        # A filled cache costs the same whatever it holds: latents of unit size, rotary keys of any angle.
        latents, ropes = torch.randn(batch, 1, context, 512), torch.randn(batch, 1, context, 64)
        cache.update(latents, ropes, 0)
        at = torch.arange(context)[None].expand(batch, -1)
        state.append(torch.cat((latents, ropes), dim=-1)[:, 0], at)
        x = torch.randn(batch, 1, d_model)
        place = torch.full((batch, 1), context)

        def step_theirs() -> Tensor:
            cache.layers[0].keys, cache.layers[0].values = latents, ropes
            return theirs(x, position_embeddings=rotation(x, place), past_key_values=cache)[0]

        def step_ours(form: str) -> Tensor:
            state.length = context
            return ours.prefill(x, place, state, form=form)[0]

        difference = float((step_ours("absorbed") - step_theirs()).abs().max() / step_theirs().abs().max())
        step_ours("expanded")
        absorbed = partial(step_ours, "absorbed")
        found = in_turn(
            {
                "paribus, absorbed": lambda: min(spent(absorbed, options.clock) for _ in range(3)),
                "transformers": partial(spent, step_theirs, options.clock),
                "paribus, expanded": partial(spent, partial(step_ours, "expanded"), options.clock),
            },
            options.rounds,
        )
    for name, runs in found.items():
        table.row(case, name, "time of a step", "ms", [1e3 * each for each in runs])
    for name in ("transformers", "paribus, expanded"):
        faster = ratios(found[name], found["paribus, absorbed"])
        table.goal(case, f"{name}, which unfolds all latents", faster, ">= 10x", at_least(10))
    table.row(case, "paribus, absorbed", "largest difference from transformers, relative", "1", [difference])
    held = state.rows.untyped_storage().nbytes() / (batch * state.capacity)
    table.row(case, "paribus", "cache", "bytes a token", [held])
    table.goal(case, "(d_c + d_r) numbers", [held / (4 * (512 + 64))], "= 1", lambda ratio: ratio == 1)


@torch.no_grad()
def copy_weights(ours: Latent, theirs: torch.nn.Module) -> None:
    """The drawn weights of our layer into the other one, so that both compute the same function."""
    into: Any = theirs
    into.q_proj.weight.copy_(ours.query.weight)
    assert ours.key_rope is not None
    into.kv_a_proj_with_mqa.weight.copy_(torch.cat((ours.latent.weight, ours.key_rope.weight)))
    key, value = (weight.unflatten(0, (16, -1)) for weight in (ours.key.weight, ours.value.weight))
    into.kv_b_proj.weight.copy_(torch.cat((key, value), dim=1).flatten(0, 1))
    into.o_proj.weight.copy_(ours.out.weight)


def linear(table: Table, options: argparse.Namespace) -> None:
    theirs = reference(options.fla)
    if theirs is None:
        sys.stderr.write("no --fla DIR with fla-core and einops: the linear part is left out\n")
        return
    n = 2048 if options.quick else 16384
    q, k, v = (torch.rand(1, n, HEADS, HEAD_DIM).requires_grad_() for _ in range(3))
    gradient = torch.randn(1, n, HEADS, HEAD_DIM)
    for normalised in (False, True):
        case = f"linear attention, chunked{', normalised' if normalised else ''}, B1 H8 d64, n = {n}, "
        case += "forward + backward, float32"

        def ours(normalised: bool = normalised) -> Tensor:
            given = ((q * HEAD_DIM**-0.5).transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
            return causal_product(*given, eps=1e-10 if normalised else None)[0].transpose(1, 2)

        def other(normalised: bool = normalised) -> Tensor:
            return theirs(q, k, v, normalize=normalised)

        subjects: dict[str, Work] = {
            "paribus": lambda ours=ours: ours().backward(gradient),
            "flash-linear-attention, plain torch": lambda other=other: other().backward(gradient),
        }
        with torch.no_grad():
            y, z = ours(), other()
        table.row(case, "paribus", "largest relative difference", "1", [float((y - z).abs().max() / z.abs().max())])
        times(subjects, 1, options.clock)
        found = times(subjects, options.rounds + 2, options.clock)
        for subject, runs in found.items():
            table.row(case, subject, "time", "ms", [1e3 * each for each in runs])
        peer = "flash-linear-attention, plain torch"
        table.goal(case, peer, ratios(found[peer], found["paribus"]), ">= 2x", at_least(2))


def reference(folder: Path | None) -> Callable[..., Tensor] | None:
    """naive_chunk_linear_attn, loaded by its file, since the package itself needs Triton."""
    path = None if folder is None else folder / "fla" / "ops" / "linear_attn" / "naive.py"
    if path is None or not path.is_file():
        return None
    sys.path.append(str(folder))
    spec = importlib.util.spec_from_file_location("fla_naive", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Tensor] = module.naive_chunk_linear_attn
    return found


def version_of_fla(folder: Path | None) -> dict[str, str]:
    paths = [] if folder is None else sorted(folder.glob("fla_core-*.dist-info"))
    return {"fla-core": paths[-1].name.removeprefix("fla_core-").removesuffix(".dist-info")} if paths else {}


PARTS = {"vq": vq, "flat": flat, "mla": mla, "linear": linear}
NOTES = """\
Subjects took turns within each round, and ratios are medians of ratios within a round. Quantising is part
of the time of quantised keys. transformers keeps the latent too, and unfolds all of it to keys and values in every
step, as our expanded form does; both layers have the same weights, and their outputs are compared.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="for a busy machine, with --threads 1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARTS), help="which parts, by comma: " + ", ".join(PARTS))
    parser.add_argument("--fla", type=Path, metavar="DIR", help="where fla-core and einops are installed")
    parser.add_argument("--show", metavar="FILE", help="print the tables of a saved --json result, and measure nothing")
    options = parser.parse_args()
    if options.show:
        told = json.loads(Path(options.show).read_text(encoding="utf-8"))
        print(page("Mixers", told, NOTES))
        return
    options.clock = CPU if options.cpu_time else WALL
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    table = Table(aloud=True)
    with loaded(options.threads, options.cpu_time) as where:
        for part in options.only.split(","):
            PARTS[part](table, options)
    numbers = versions("torch", "transformers", absent="not installed") | version_of_fla(options.fla)
    told = table.result("mixers", "python " + " ".join(sys.argv), where, numbers)
    print(json.dumps(told, indent=1) if options.json else page("Mixers", told, NOTES))


if __name__ == "__main__":
    main()
