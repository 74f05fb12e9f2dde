"""An unmodified transformers model, read with another method: its rotary table and its attention are exchanged.

A rewrite of frequencies fills the model's own table and is written into its config. A map of distances needs raw
queries and keys, so the table becomes a rotation by zero, the cache then holds raw keys, and the attention turns them
piece by piece. Another attention on such a model would be wrong without a word: the table refuses to serve one.
Whether the model's attention is one that can be exchanged is found out by a trial.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from paribus.context_extension.method import Change, Reading, changed, check_reach
from paribus.context_extension.transformers_attention import HEADS, NAME, Heads, register
from paribus.context_extension.transformers_cache import PLACES, READING, Places, guard
from paribus.context_extension.transformers_trial import trial
from paribus.core.errors import InputError
from paribus.models.checkpoints.rope import described, rotary_of
from paribus.positions.rotary import Rotary

BEFORE = "_paribus_before"
ROPE = "rope_parameters"  # where the config of transformers 5 says it


@dataclass(frozen=True)
class Before:
    """What `restore` puts back."""

    frequencies: Tensor
    magnitude: float
    kind: Any  # of the table, which recomputes its frequencies in each pass where it is longrope or dynamic
    forward: Any  # of the table, where a library that moves weights put its own in place of the class's
    attention: str | None
    rope: Any


def is_transformers(model: Any) -> bool:
    return hasattr(model, "set_attn_implementation") and hasattr(model, "config")


def extend_transformers(model: Any, changes: Sequence[Change]) -> Any:
    """Change the model in place and return it.

    Raises InputError for a model without one rotary table, or whose attention ours does not compute; it is then as it
    was trained.
    """
    if hasattr(model, BEFORE):
        restore_transformers(model)
    table, body = _table(model)
    config = model.config.to_dict()
    trained = rotary_of(config)
    own = next((one.pairing for one in changes if isinstance(one, Rotary)), trained.pairing)
    reading = changed(replace(trained, pairing=own), *changes)
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    reading.position.check_head_dim(head_dim)
    _check_table(model, table, trained, head_dim)
    if (length := config.get("max_position_embeddings")) is not None:
        check_reach(changes, length)
    before = Before(
        table.inv_freq,
        table.attention_scaling,
        getattr(table, "rope_type", None),
        table.__dict__.get("forward"),
        model.config._attn_implementation,
        getattr(model.config, ROPE, None),
    )
    setattr(model, BEFORE, before)
    try:
        if reading.rewrites_only:
            _fill(model, table, reading.position, head_dim)
            _write(model, reading.position, head_dim)
        else:
            reading = _exchange(model, table, body, trained, changes)
    except BaseException as error:
        restore_transformers(model)
        if isinstance(error, InputError) or not isinstance(error, Exception):
            raise
        raise InputError(
            f"{type(model).__name__} failed in a trial of a few tokens by our attention ({type(error).__name__}: "
            f"{error}), so that no map of distances can be used on it: use a rewrite of frequencies, such as YaRN"
        ) from error
    setattr(body, READING, reading)
    guard(body)
    return model


def restore_transformers(model: Any) -> Any:
    """Undo `extend_transformers`, in place."""
    if not hasattr(model, BEFORE):
        raise InputError(f"{type(model).__name__} is not extended: nothing to restore")
    before: Before = getattr(model, BEFORE)
    table, body = _table(model)
    # It may have been moved meanwhile.
    table.inv_freq = before.frequencies.to(table.inv_freq.device)
    table.attention_scaling = before.magnitude
    if before.kind is not None:
        table.rope_type = before.kind
    table.__dict__.pop("forward", None)
    if before.forward is not None:
        table.forward = before.forward
    model.__dict__.pop("save_pretrained", None)
    for module in model.modules():
        module.__dict__.pop(HEADS, None)
    if before.rope is not None:
        setattr(model.config, ROPE, before.rope)
    if model.config._attn_implementation != before.attention:
        model.set_attn_implementation(before.attention)
    for name in (READING, PLACES):
        body.__dict__.pop(name, None)
    delattr(model, BEFORE)
    return model


def _table(model: Any) -> tuple[Any, nn.Module]:
    """The one rotary table, and the module that holds it and takes the cache."""
    found = [(name, module) for name, module in model.named_modules() if hasattr(module, "inv_freq")]
    if len(found) != 1 or not hasattr(found[0][1], "attention_scaling"):
        raise InputError(
            f"{type(model).__name__} has {len(found)} rotary tables: extension needs a model with RoPE and one table "
            "for all layers, such as Llama"
        )
    name, table = found[0]
    return table, model.get_submodule(name.rpartition(".")[0])


def _check_table(model: Any, table: Any, trained: Rotary, head_dim: int) -> None:
    held = table.inv_freq
    if held.is_meta:
        raise InputError(f"{type(model).__name__} has no weights yet, it is on the device 'meta': load them first")
    told = trained.frequencies(head_dim)
    if held.shape != told.shape or not torch.allclose(held.double().cpu(), told, rtol=1e-2):
        raise InputError(
            f"the rotary table of {type(model).__name__} holds {len(held)} frequencies, which are not the {len(told)} "
            "that its config tells of: such a model is not known here"
        )


def _fill(model: Any, table: Any, position: Rotary, head_dim: int) -> None:
    """New frequencies, and a look whether the table follows them."""
    theta = position.frequencies(head_dim)
    table.inv_freq = theta.to(table.inv_freq.device, torch.float32)
    table.attention_scaling = position.scaling.magnitude
    if hasattr(table, "rope_type"):
        table.rope_type = "default"
    at = torch.tensor([[1, 3, 4096]], device=table.inv_freq.device)
    out = _shown(table, at)
    first = out[0] if isinstance(out, tuple) else out  # cosines, or complex numbers
    cosines, n = first.real.squeeze(0).double().cpu(), len(theta)
    expected = torch.cos(at[0, :, None].cpu() * theta) * position.scaling.magnitude
    layouts = (cosines[..., :n], cosines[..., ::2])  # halves, or neighbours
    if not any(one.shape == expected.shape and torch.allclose(one, expected, atol=1e-2) for one in layouts):
        raise InputError(
            f"the rotary table of {type(model).__name__} does not follow the frequencies that are written into it: "
            "such a model is not known here"
        )


def _write(model: Any, position: Rotary, head_dim: int) -> None:
    """Let the config say it, so that `save_pretrained` does."""
    told = getattr(model.config, ROPE, None)
    length = (told or {}).get("original_max_position_embeddings") or getattr(
        model.config, "max_position_embeddings", None
    )
    if told is None or length is None:
        model.save_pretrained = _Saving(model, "this config has no place for other frequencies")
    else:
        setattr(model.config, ROPE, described(position, head_dim, int(length)))


def _exchange(model: Any, table: Any, body: nn.Module, trained: Rotary, changes: Sequence[Change]) -> Reading:
    """Exchange the attention, for a map of distances or a scale."""
    out = _shown(table, torch.tensor([[0, 1]], device=table.inv_freq.device))
    if not (isinstance(out, tuple) and len(out) == 2 and out[0].shape[-1] == 2 * len(table.inv_freq)):
        raise InputError(
            f"the rotary table of {type(model).__name__} gives no cosines and sines of whole heads: no map of "
            "distances can be used on it. Use a rewrite of frequencies, such as YaRN"
        )
    register()
    places = Places()
    setattr(body, PLACES, places)
    guard(body)

    def take_out() -> None:
        table.forward = _Still(table, model.config, places)

    found = trial(model, trained, places, take_out, table.inv_freq.device)
    turned = {position for position in found.values() if isinstance(position, Rotary)}
    if len(turned) != 1:
        raise InputError(
            f"{type(model).__name__} turns its queries in {len(turned)} ways in its layers: a map of distances "
            "needs one"
        )
    (as_trained,) = turned
    reading = changed(as_trained, *changes)
    for layer, position in found.items():
        turns = isinstance(position, Rotary)
        heads = Heads(reading.position, reading.scale, places) if turns else Heads(position, None, places)
        setattr(layer, HEADS, heads)
    model.save_pretrained = _Saving(model, "config.json cannot say how this model is read")
    return reading


def _shown(table: Any, at: Tensor) -> Any:
    """What the table gives at these positions, (1, n)."""
    with torch.no_grad():
        return table(torch.zeros(1, at.shape[1], 1, device=at.device), position_ids=at)


class _Still:
    """In place of the table's forward: no rotation, so that queries and keys stay raw."""

    def __init__(self, table: Any, config: Any, places: Places) -> None:
        self.width, self.config, self.places = 2 * len(table.inv_freq), config, places

    def __call__(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        if self.config._attn_implementation != NAME:
            raise InputError(
                f"the attention of an extended model was set to {self.config._attn_implementation!r}, which would read "
                "keys without their rotation: call restore(model) first"
            )
        self.places.hear(position_ids)
        shape = (*position_ids.shape, self.width)
        return x.new_ones(shape), x.new_zeros(shape)


class _Saving:
    """In place of the model's save_pretrained: what is saved reads as it was trained, and this is said."""

    def __init__(self, model: Any, why: str) -> None:
        self.model, self.why = model, why

    def __call__(self, *given: Any, **named: Any) -> Any:
        warnings.warn(
            f"{self.why}: what is saved reads as it was trained, until extend is called on it again", stacklevel=2
        )
        return type(self.model).save_pretrained(self.model, *given, **named)
