"""Does our attention compute what the attention of a transformers model computes? A trial of a few tokens tells.

No list of architectures is trusted. Four passes over eight tokens, each layer being given the same input in all: as the
model is; through our attention with the model's own rotation, which shows queries and keys as it turns them; with the
rotation taken out, which shows them raw, so that each layer's own pairing is found, or that it turns nothing; and as it
will be read, by a map whose window is longer than these tokens, which must give the first pass again. So softcaps,
sinks, latent or partial rotation, norms after the rotation and whatever comes next are refused.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from paribus.context_extension.transformers_attention import HEADS, NAME, Heads
from paribus.context_extension.transformers_cache import Places
from paribus.core.errors import InputError
from paribus.positions.base import Position
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.pairing.interleaved import Interleaved
from paribus.positions.rotary import Rotary

TOKENS = 8
# Relative errors of the same numbers by another order of operations.
WHOLE, SHORT = 1e-3, 3e-2  # in 32 bits and more; and in 16, or with quantised weights
FINAL = 10  # times as much after the last layer's network and norm


def trial(
    model: Any, trained: Rotary, places: Places, take_out: Callable[[], None], device: torch.device
) -> dict[nn.Module, Position]:
    """Layer -> how it turns its queries and keys: `trained` with the layer's own pairing, or not at all.

    take_out: removes the model's own rotation. device: of its rotary table. Weights, caches, random numbers and the
    training mode stay as they are. Raises InputError where one layer does what ours does not.
    """
    layers = [module for module in model.modules() if hasattr(module, "layer_idx")]
    with _quiet(model):
        ids = _tokens(model, device)
        before = _Pass(model, ids, layers, None)
        model.set_attn_implementation(NAME)
        turned = _overheard(model, ids, layers, before, places)
        if not turned:
            raise InputError(
                f"{type(model).__name__} does not call its attention by the interface of transformers, so that it "
                "cannot be exchanged: use a rewrite of frequencies, such as YaRN"
            )
        take_out()
        raw = _overheard(model, ids, layers, before, places)
        found = {layer: _turning(layer, raw[layer], turned[layer], trained, places) for layer in turned}
        for layer in layers:
            layer.__dict__.pop(HEADS, None)
        for layer, position in found.items():
            near = replace(position, map=ReRoPE(window=2 * TOKENS)) if isinstance(position, Rotary) else position
            setattr(layer, HEADS, Heads(near, None, places))
        after = _Pass(model, ids, layers, before)
    short = _computes_short(model)
    inside = [layer for layer in layers if layer in found or not any(one in found for one in layer.modules())]
    for place, layer in enumerate(inside):
        _check(model, before.outputs[layer], after.outputs[layer], 1, short, f"layer {place}")
    _check(model, before.final, after.final, FINAL, short, "the whole")
    return found


def _check(model: Any, theirs: Tensor, ours: Tensor, times: int, short: bool, what: str) -> None:
    error, tolerance = _apart(theirs, ours)
    if short:
        tolerance = SHORT
    if not error <= times * tolerance:
        raise InputError(
            f"{type(model).__name__} read by our attention differs from itself on {TOKENS} tokens, by {error:.1e} of "
            f"the output of {what}, where {times * tolerance:.0e} is rounding: its attention does something that is "
            "not known here. Use a rewrite of frequencies, such as YaRN"
        )


def _turning(
    layer: nn.Module, raw: tuple[Tensor, Tensor], turned: tuple[Tensor, Tensor], trained: Rotary, places: Places
) -> Position:
    """Of the rotations that are known here, the one that the layer applies."""
    at, _ = places.keys(TOKENS, raw[0].device)
    candidates: list[Position] = [NoPosition()]
    if raw[0].shape[-1] == turned[0].shape[-1]:
        candidates = [replace(trained, pairing=HalfSplit()), replace(trained, pairing=Interleaved()), NoPosition()]
    errors = []
    for position in candidates:
        pairs = [_apart(theirs, position.rotate(ours, at)) for ours, theirs in zip(raw, turned, strict=True)]
        errors.append(max(pairs))
    (error, tolerance), position = min(zip(errors, candidates, strict=True), key=lambda one: one[0])
    if not error <= tolerance:
        raise InputError(
            f"{type(layer).__name__} turns its queries and keys in a way that is not known here, such as a part of "
            "each head (latent attention) or a norm after the rotation: use a rewrite of frequencies, such as YaRN"
        )
    return position


class _Pass:
    """One reading: the inputs and outputs of all layers, and what comes out at the end.

    like: an earlier pass, whose inputs the layers are given.
    """

    def __init__(self, model: Any, ids: Tensor, layers: list[nn.Module], like: "_Pass | None") -> None:
        self.inputs: dict[nn.Module, Tensor] = {}
        self.outputs: dict[nn.Module, Tensor] = {}
        self.like = like
        hooks = [layer.register_forward_pre_hook(self._enter, with_kwargs=True) for layer in layers]
        hooks += [layer.register_forward_hook(self._leave) for layer in layers]
        try:
            self.final = _first(model(ids, use_cache=False))
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        first = given[0] if given else named.get("hidden_states")
        if isinstance(first, Tensor):
            self.inputs[layer] = first
        if self.like is None or (wanted := self.like.inputs.get(layer)) is None:
            return None
        return ((wanted, *given[1:]), named) if given else (given, {**named, "hidden_states": wanted})

    def _leave(self, layer: nn.Module, given: tuple[Any, ...], out: Any) -> None:
        self.outputs[layer] = _first(out)


def _overheard(
    model: Any, ids: Tensor, layers: list[nn.Module], like: _Pass, places: Places
) -> dict[nn.Module, tuple[Tensor, Tensor]]:
    """Layer -> the queries and keys that reach our attention."""
    heads = {layer: Heads(NoPosition(), None, places, []) for layer in layers}
    for layer, listening in heads.items():
        setattr(layer, HEADS, listening)
    _Pass(model, ids, layers, like)
    return {layer: listening.heard[0] for layer, listening in heads.items() if listening.heard}


def _first(out: Any) -> Tensor:
    """The first tensor of what a module returns."""
    values = out.values() if isinstance(out, dict) else out if isinstance(out, tuple | list) else [out]
    return next((value for value in values if isinstance(value, Tensor)), torch.zeros(0))


def _apart(theirs: Tensor, ours: Tensor) -> tuple[float, float]:
    """How far apart, as a part of theirs; and what rounding may account for."""
    tolerance = SHORT if theirs.dtype.itemsize < 4 else WHOLE
    if theirs.shape != ours.shape:
        return float("inf"), tolerance
    a, b = theirs.double(), ours.to(theirs.device).double()
    return float((a - b).norm() / a.norm().clamp_min(1e-30)), tolerance


def _tokens(model: Any, device: torch.device) -> Tensor:
    """Eight tokens from all over the vocabulary, (1, 8). device: where an embedding is read that is kept elsewhere."""
    weight = model.get_input_embeddings().weight
    step = len(weight) / (TOKENS + 1)
    ids = [[int(step * (i + 1)) for i in range(TOKENS)]]
    return torch.tensor(ids, device=device if weight.is_meta else weight.device)


def _computes_short(model: Any) -> bool:
    """Are some weights quantised? Activations may be as well, and then a last bit of theirs decides a step of 1/127."""
    return getattr(model, "hf_quantizer", None) is not None or any(
        not weight.is_floating_point() or type(weight.detach()) is not Tensor for weight in model.parameters()
    )


@contextmanager
def _quiet(model: Any) -> Iterator[None]:
    """No gradients, no dropout, and all as before behind it."""
    training = {module: module.training for module in model.modules()}
    devices = {weight.device.index or 0 for weight in model.parameters() if weight.device.type == "cuda"}
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(sorted(devices)):
            yield
    finally:
        for module, was in training.items():
            module.training = was
