"""`paribus extend MODEL --method METHOD --to N`: let a checkpoint read longer than it was trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from paribus.context_extension.evaluate import Curve, Depths
    from paribus.context_extension.explain import Explanation

TEXTS = 1  # texts of the distance probe where none is named: about a minute for a small model


def extend(
    model: Annotated[str, typer.Argument(help="A Hugging Face folder, a .gguf file, or a known name such as smollm2.")],
    to: Annotated[int, typer.Option(help="The length to be read, in tokens.")],
    method: Annotated[str | None, typer.Option(help="Such as ntk-aware, yarn, rerope; several joined by +.")] = None,
    window: Annotated[int | None, typer.Option(help="Of a map of distances; a quarter of the trained length.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=NUMBER", help="Another number.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what every method would do; read nothing.")] = False,
    evaluate: Annotated[list[Path] | None, typer.Option(help="Texts to read at full length; takes minutes.")] = None,
    last: Annotated[int, typer.Option(help="Final tokens scored while the context grows.")] = 1024,
    mix: Annotated[
        bool, typer.Option("--mix", help="With --evaluate: also the mean of what the whole and the cut text expect.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Save the extended checkpoint in this folder.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.", metavar="WORD")] = "cpu",
    plot: Annotated[Path | None, typer.Option(help="Draw the loss; .svg, .png or .pdf.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Extend a checkpoint without training, measure what it is worth, and save it."""
    import json
    from dataclasses import asdict

    from rich.console import Console

    from paribus.cli import extend_view as view
    from paribus.context_extension.words import method as read_method
    from paribus.context_extension.words import numbers

    console = Console(highlight=False, stderr=as_json)
    if explain:
        named = {"--method": method, "--evaluate": evaluate, "--out": out, "--plot": plot, "--mix": mix or None}
        for name, value in named.items():
            if value is not None:
                raise InputError(
                    f"{name} with --explain, which compares all methods by numbers and reads nothing: leave one out"
                )
        with Console(stderr=True).status("looking for the smallest base: seconds, up to a minute for a million tokens"):
            explained = _explained(model, to, window, set_)
        if as_json:
            typer.echo(json.dumps(asdict(explained)))
        else:
            view.explanation(explained, console)
        return
    if method is None:
        raise InputError("no --method is given: --explain compares them, --method rerope takes one")
    if mix and evaluate is None:
        raise InputError("--mix without --evaluate: it reads whole texts, so name one, such as --evaluate a.txt")
    from paribus.cli.device import device_from_word
    from paribus.cli.open_model import begins_with
    from paribus.context_extension.explain import facts
    from paribus.context_extension.extend import extend as apply
    from paribus.context_extension.method import changed, check_reach
    from paribus.models.checkpoints.open import load_checkpoint, open_checkpoint
    from paribus.models.checkpoints.rope import described
    from paribus.tokenizer.byte_level import ByteLevelBPE

    place = device_from_word(device)
    opened = open_checkpoint(model)
    if plot is not None:
        from paribus.cli.plot import check_path

        check_path(plot)
    if out is not None:
        _check_out(out, opened.path)
    rotary, head_dim, trained = facts(opened.config)
    read_method(method, numbers(trained, to, window) | {"longrope": {"factors": (1.0,)}})  # are these words?
    changes = read_method(method, _with(numbers(trained, to, window), set_, method))
    if window is not None and not any(hasattr(change, "window") for change in changes):
        raise InputError(f"--window {window}: --method {method} has no window; leave it out")
    if to <= trained:
        raise InputError(f"--to {to}: the model was trained at {trained}; ask for a longer length")
    check_reach(changes, trained)
    reading = changed(rotary, *changes)
    reading.position.check_head_dim(head_dim)
    if out is not None:  # what no checkpoint can say is refused now
        if reading.scale is not None:
            raise InputError(
                f"{reading.scale!r} changes scores with the length, which no config.json can say: save the model with "
                "save_model, and read it with paribus"
            )
        described(reading.position, head_dim, trained)
    with console.status(f"loading {model}"):
        plain, checkpoint = load_checkpoint(model)
        extended = apply(plain.to(place), *changes)
    if checkpoint.tokenizer is None:
        raise InputError(f"{checkpoint.path} brings no tokenizer that can be read here, so no text can be measured")
    codec = ByteLevelBPE(checkpoint.tokenizer)
    begin = begins_with(checkpoint, codec)
    errors = Console(stderr=True, highlight=False)
    with errors.status("measuring") as status:
        # A line for each reading where no line can be rewritten: a file, or a pipe.
        tell = status.update if errors.is_terminal else errors.print
        curves, depths = _measured(plain, extended, method, codec, begin, place, trained, to, last, evaluate, mix, tell)
    if as_json:
        found = {"curves": [asdict(one) for one in curves], "depths": [asdict(one) for one in depths]}
        typer.echo(json.dumps({"model": model, "method": repr(changes), "trained": trained, "to": to} | found))
    else:
        view.measured(curves, depths, trained, to, changes, console)
    if out is not None:
        _save(extended, checkpoint, out, to, trained, console)
    if plot is not None:
        view.draw(curves, trained, plot)
        console.print(f"picture: {plot}")


def _check_out(out: Path, source: Path) -> None:
    """Raise InputError for a folder that cannot or must not be written, before minutes are spent."""
    import os

    own = source if source.is_dir() else source.parent
    if out.resolve() == own.resolve():
        raise InputError(f"--out {out}: the checkpoint itself is there, and stays as it is; choose a new folder")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: choose a new folder")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"--out {out} is not empty: choose a new folder, or delete this one first")
    above = next(one for one in (out, *out.absolute().parents) if one.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(f"--out {out}: cannot write in {above}; choose another folder")


def _with(
    filled: dict[str, dict[str, Any]], given: list[str] | None, method: str | None = None
) -> dict[str, dict[str, Any]]:
    """The numbers with those of --set over them; each must be one that the method takes."""
    from paribus.context_extension.words import with_given

    pairs = {}
    for one in given or []:
        name, sign, value = one.partition("=")
        if not sign:
            raise InputError(f"--set {one}: expected NAME=NUMBER")
        pairs[name] = _number(value)
    return with_given(filled, pairs, method)


def _number(text: str) -> Any:
    if "," in text:
        return tuple(_number(part) for part in text.split(","))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _explained(model: str, to: int, window: int | None, given: list[str] | None) -> "Explanation":
    from paribus.context_extension.explain import explain, facts
    from paribus.context_extension.words import known, method, numbers
    from paribus.models.checkpoints.open import open_checkpoint

    rotary, head_dim, trained = facts(open_checkpoint(model).config)
    filled = _with(numbers(trained, to, window), given)
    filled.setdefault("dynamic-ntk", {})["length"] = max(to, trained)
    words = [word for word in known() if word != "longrope"]  # its factors come from a search
    return explain(rotary, head_dim, trained, to, {word: method(word, filled) for word in words})


def _measured(
    plain: Any,
    extended: Any,
    method: str,
    codec: Any,
    begin: tuple[int, ...],
    place: "torch.device",
    trained: int,
    to: int,
    last: int,
    files: list[Path] | None,
    mix: bool,
    tell: Any,
) -> "tuple[list[Curve], list[Depths]]":
    import torch

    from paribus.context_extension.evaluate import HALF, check_lengths, contexts, pieces, probe, retrieval
    from paribus.evaluation.reader import Reader as Reads
    from paribus.models.mixture import Component, Mixture
    from paribus.text.corpora import corpus_from_word
    from paribus.text.corpora.python_docs import PythonDocs

    readers: dict[str, Reads] = {"plain": plain, method: extended}

    def ids(data: bytes) -> torch.Tensor:
        return torch.from_numpy(codec.encode(data).astype("int64")).to(place)

    if files is None:
        documents = sorted((one.data for one in PythonDocs().documents()), key=len, reverse=True)
        texts = [ids(data) for data in documents[:TEXTS]]
    else:
        texts = [ids(b"\n\n".join(d.data for d in corpus_from_word(str(file)).documents())) for file in files]
        check_lengths(texts, last, to)
        # A mixture holds what its readings expect of the last tokens at once.
        _check_memory(plain, to, 2 * last if mix else last, place)
    half = min(HALF, trained // 4)
    distances = sorted({half, trained // 2, trained - half, (trained + to) // 2, to - half})
    curves = probe(readers, pieces(texts, max(TEXTS, len(texts)), 2 * half), distances, tell, half, begin)
    depths: list[Depths] = []
    if files is not None:
        if mix:
            readers["mixed with the cut text"] = Mixture([Component(extended), Component(plain, trained, begin)])
        at = sorted({max(last + len(begin), trained // 4), trained, to})
        curves += contexts(readers, texts, at, last, tell, begin)
        depths = retrieval(readers, codec, to, texts[0], tell, begin=begin, device=place)
    return curves, depths


def _check_memory(model: Any, length: int, last: int, place: "torch.device") -> None:
    """Raise InputError when one pass over so many tokens has no room."""
    import torch

    from paribus.lab.room import free_memory
    from paribus.theory.memory import reading_bytes

    config = model.config
    heads_width = max(mixer.n_heads * mixer.d_head for mixer in config.layer_mixers())
    inner = max(network.inner_width for network in config.layer_feed_forwards())
    need = reading_bytes(length, config.d_model, inner, heads_width, config.vocab_size, last)
    free, whose = free_memory() if place.type == "cpu" else (torch.cuda.mem_get_info(place)[0], f"on {place}")
    if need > free:
        raise InputError(
            f"reading {length} tokens at once takes about {need / 2**30:.1f} GiB beside the weights, "
            f"{free / 2**30:.1f} GiB are free {whose}: close other programs, or ask for a shorter --to"
        )


def _save(model: Any, checkpoint: Any, out: Path, to: int, trained: int, console: Any) -> None:
    from paribus.models.checkpoints.open import save_checkpoint

    kept = ("bos_token_id", "eos_token_id", "pad_token_id")
    more = {name: checkpoint.config[name] for name in kept if checkpoint.config.get(name) is not None}
    # A GGUF file holds blocks of a few bits, which only 32 bits can say.
    like = checkpoint.tensors if checkpoint.path.is_dir() else None
    save_checkpoint(model, out, to, trained, checkpoint.tokenizer, more, _longer(checkpoint.beside, to), like)
    console.print(f"saved in {out}: transformers loads it as it is")


def _longer(beside: "Mapping[str, bytes]", to: int) -> dict[str, bytes]:
    """The files beside the weights, with the new length where the tokenizer cuts at the old one."""
    import json

    files, name = dict(beside), "tokenizer_config.json"
    try:
        told = json.loads(files.get(name, b"{}"))
    except ValueError:
        return files
    if isinstance(told, dict) and told.get("model_max_length", to) < to:
        files[name] = json.dumps({**told, "model_max_length": to}, indent=2, ensure_ascii=False).encode() + b"\n"
    return files
