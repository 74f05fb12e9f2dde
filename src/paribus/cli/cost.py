"""`paribus cost CONFIG`: parameters, FLOPs, cache bytes, and the length at which attention takes over."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from paribus.models.decoder import DecoderLM


def cost(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A claim or its file, a folder of `paribus train`, a training cell, a config.json of Llama or "
            "DeepSeek-V2 type or its folder, a .gguf file, or smollm2.",
        ),
    ],
    length: Annotated[int, typer.Option(help="Tokens of a sequence.")] = 2048,
    batch: Annotated[int, typer.Option(help="Sequences that are decoded at once.")] = 1,
    arm: Annotated[str | None, typer.Option(help="Which arm of the claim; by default the first.")] = None,
    half: Annotated[bool, typer.Option("--half", help="Weights and caches of 16 bits instead of 32.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a picture: .svg, .png or .pdf.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What a model costs, from its configuration alone; nothing is built or run.

    An arm of a claim is priced with the d_ff that the claim trains it with, solved for equal parameters or FLOPs.
    Bytes of caches are all that they hold: keys, values, states, and positions of keys where scores ask for them.
    """
    from dataclasses import asdict
    from json import dumps

    from paribus.models import cost as prices

    read = _read(config, arm)
    found = prices.cost(read, length, batch, 2 if half else 4)
    if plot is not None:
        _plot(read, found, plot)
    if json:
        typer.echo(dumps({"schema": "paribus.cost/1", "config": config, **asdict(found)}, indent=1))
        return
    for line in _lines(found, read.d_model):
        typer.echo(line)


def _read(word: str, arm: str | None) -> "DecoderLM.Config":
    import json

    from paribus.core.config import from_dict
    from paribus.core.errors import ConfigError, InputError
    from paribus.models.checkpoints import get
    from paribus.models.checkpoints.open import open_checkpoint
    from paribus.models.checkpoints.prices import priced
    from paribus.models.decoder import DecoderLM

    if word in get.KNOWN and not get.is_there(word):
        raise InputError(f"{word} is not on this machine: fetch it by `paribus models get {word}`")
    path = Path(word)
    if word in get.KNOWN or path.suffix == ".gguf":
        checkpoint = open_checkpoint(word)
        return priced(checkpoint.config, checkpoint.path)
    for name in ("model.json", "cell.json", "config.json"):
        if path.is_dir() and (path / name).is_file():
            path = path / name
            break
    if path.suffix == ".json":
        if not path.is_file():
            raise InputError(f"there is no file {path}: give a config.json, a model's folder, or a claim")
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is no JSON ({error}): give a config.json of Hugging Face or of ours") from error
        if not isinstance(told, dict):
            raise InputError(f"{path} holds no JSON object: give a config.json of Hugging Face or of ours")
        own = told.get("model", told.get("config"))
        if own is None:
            return priced(told, path)
        try:
            read: DecoderLM.Config = from_dict(DecoderLM.Config, own)
            return read
        except ConfigError as error:
            raise InputError(f"{path}: {error}; prices are known for decoders, DecoderLM") from error
    if path.is_dir():
        raise InputError(
            f"{path} holds no model (no model.json, no cell.json, no config.json): give a folder made by `paribus "
            "train`, a training cell of a run folder (RUN/cells/DIGEST), or a checkpoint"
        )
    return _arm(word, arm)


def _arm(word: str, arm: str | None) -> "DecoderLM.Config":
    from paribus.core.errors import InputError, nearest
    from paribus.lab.claim import Trained
    from paribus.lab.load import load
    from paribus.lab.plan import sized_arms
    from paribus.models.decoder import DecoderLM

    _, claim = load(word)
    names = [one.name for one in claim.arms]
    if arm is not None and arm not in names:
        raise InputError(f"this claim has no arm {arm!r}: {nearest(arm, names)}")
    config = (claim.arms[0] if arm is None else claim.arm(arm)).config
    if isinstance(claim.task, Trained) and isinstance(config, DecoderLM.Config):
        config = sized_arms(claim, claim.task)[names[0] if arm is None else arm].config
    if not isinstance(config, DecoderLM.Config):
        raise InputError(f"the arm is a {type(config).__qualname__}: prices are known for decoders, DecoderLM.Config")
    return config


def _lines(found: Any, d_model: int) -> list[str]:
    def mega(bytes_: float) -> str:
        return f"{bytes_ / 2**20:,.1f} MiB"

    parts = ", ".join(f"{name} {count:,}" for name, count in found.parameters_by_part.items())
    skipped = found.quadratic_skipping / found.flops_skipping
    share = f"{found.quadratic / found.flops:.1%} at length {found.length:,}; with pairs skipped {skipped:.1%}"
    tokens = f"{mega(found.cache_bytes)} for {found.batch} x {found.length:,} tokens"
    active = f"{found.active_parameters:,}: all but the experts that are not chosen"
    rows = [
        ("parameters", f"{found.parameters:,} ({mega(found.weight_bytes)}): {parts}"),
        *([("  a token meets", active)] if found.active_parameters < found.parameters else []),
        ("FLOPs per token", f"{found.flops:,.0f} forward, {found.training_flops:,.0f} in training"),
        ("  with pairs skipped", f"{found.flops_skipping:,.0f} forward: no pair above the diagonal"),
        ("  output matrix", f"{found.flops_head:,}"),
        ("  quadratic part", share),
        *_step(found, mega),
        ("cache", f"{found.cache_bytes_per_token:,.0f} bytes a token; {tokens}"),
    ]
    if found.meets is None:
        rows.append(("quadratic = rest", "never: no token costs more in a longer text"))
    else:
        each = [f"{n:,} ({n / d_model:.3g} d_model)" for n in (found.meets, found.meets_skipping)]
        rows.append(("quadratic = rest", f"at length {each[0]}, with pairs skipped {each[1]}; layers only"))
    if found.cache_meets_weights is not None:
        rows.append(
            ("cache = weights", f"at length {found.cache_meets_weights:,} with batch {found.batch}, in decoding")
        )
    return [f"{name:<22}{text}" for name, text in rows]


def _step(found: Any, mega: Any) -> list[tuple[str, str]]:
    if found.step_flops is None:
        return [("decoding", "none: a layer sees later tokens")]
    return [
        ("decoding", f"{found.step_flops:,} FLOPs for token {found.length:,} of a sequence"),
        ("  a step reads", f"{mega(found.step_bytes)} of weights and caches, for {found.batch} sequences"),
    ]


def _plot(config: Any, found: Any, path: Path) -> None:
    from paribus.cli.plot import new_axes, save
    from paribus.models import cost as prices

    top = max(found.length, 4 * (found.meets_skipping or found.length))
    lengths = sorted({max(1, round(top * 2 ** (-step / 4))) for step in range(40)} | {found.length})
    rest = float(prices.rest_per_token(config))
    figure, axes = new_axes("length (tokens)", "forward FLOPs per token, layers only")
    axes.plot(lengths, [rest] * len(lengths), label="rest", color="black")
    for causal, label in ((False, "quadratic, all pairs"), (True, "quadratic, pairs skipped")):
        growing = [prices.layers_flops(config, n, causal) / n - rest for n in lengths]
        shown = [(n, y) for n, y in zip(lengths, growing) if y > 0]
        axes.plot([n for n, _ in shown], [y for _, y in shown], label=label)
    for meets in (found.meets, found.meets_skipping):
        if meets is not None:
            axes.axvline(meets, color="grey", linewidth=1, linestyle=":")
            axes.annotate(f"{meets:,}", (meets, rest), xytext=(3, 5), textcoords="offset points")
    axes.axvline(found.length, color="tab:green", linewidth=1, label=f"length {found.length:,}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    save(figure, path)
