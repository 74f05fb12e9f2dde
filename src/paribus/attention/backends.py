"""Which program computes an attention: the dense reference, materialised scores, or a fused kernel.

What is possible depends on the parts and the shape. Among programs of plain causal attention a training chooses by
measurement, once for each shape and machine, and keeps the choice with the run (programs.py); all else goes by rule,
so that it gives the same bits each time. `Choice.why` says why, and `programs.overheard` hears it.
"""

from collections.abc import Collection
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.attention.attend import attend
from paribus.attention.materialised import causal_bias, materialised
from paribus.attention.one_query import Run, beats_fused
from paribus.attention.one_query import one_query as read_once
from paribus.attention.programs import FEW, Program, current, shape_of, tell
from paribus.attention.tiled import available, tiled
from paribus.normalizers.base import Normalizer
from paribus.normalizers.softmax import Softmax
from paribus.ops import kernels
from paribus.ops.merge import Share, merged_attention
from paribus.ops.tiles import below
from paribus.positions.base import Piece, Position

# Up to here a CPU computes materialised scores faster than its fused kernel, forward and backward: the rule.
DENSE_UP_TO = 256
# From here our own kernel is faster than either, under the plain causal mask.
NATIVE_FROM = 256
# Numbers in all scores together above which nobody would keep them, whatever it is worth in time.
MANY = 2**27

Name = Literal["dense", "materialised", "tiled", "native", "fused"]


class Choice(NamedTuple):
    program: Name
    why: str


def choose(
    normalizer: Normalizer,
    position: Position,
    has_bias: bool,
    n_keys: int,
    device_type: str,
    plain_causal: bool,
    able: Collection[Name] = (),
    one_query: bool = False,
) -> Choice:
    """Another program than the dense one only where it computes the same function, and where it is faster.

    able: which of our kernels can take these heads on this processor. one_query: a step of decoding.
    """
    if not isinstance(normalizer, Softmax):
        return Choice("dense", f"dense: the fused kernel knows softmax only, not {type(normalizer).__name__}")
    if not position.separable:
        return Choice("dense", f"dense: {type(position).__name__} scores near and far pairs with different rotations")
    if has_bias:
        return Choice("dense", "dense: additive bias")
    if plain_causal and "tiled" in able:
        return Choice("tiled", "tiled: this processor has matrix units for heads of 16 bits")
    if plain_causal and "native" in able and n_keys >= NATIVE_FROM:
        return Choice("native", "native: our kernel for float32 heads on this processor")
    if device_type == "cpu" and n_keys <= DENSE_UP_TO and not one_query:
        few = f"{n_keys} keys are few enough for materialised scores to be faster on a CPU"
        return Choice("materialised", f"materialised: {few}") if plain_causal else Choice("dense", f"dense: {few}")
    return Choice("fused", "fused: softmax over one rotation")


def choose_causal(ruled: Choice, q: Tensor, k: Tensor, v: Tensor, scale: float, able: Collection[Name]) -> Choice:
    """What is fastest under the plain causal mask: by measurement where `Programs` are at work, else by the rule.

    q and k as they are multiplied; able: which of our kernels can take them.
    """
    if torch.compiler.is_compiling():
        return ruled
    programs, (batch, heads, n, _) = current(), q.shape
    if programs is None or q.device.type != "cpu" or batch * heads * n * n < FEW or not torch.is_grad_enabled():
        return ruled
    ways: dict[Name, Program] = {"fused": partial(fused, scale=scale, mask=None, causal=True)}
    if batch * heads * n * n <= MANY:
        ways["materialised"] = partial(materialised, scale=scale)
    if "native" in able:
        ways["native"] = partial(causal_by_kernel, scale=scale)
    if "tiled" in able:
        ways["tiled"] = partial(tiled, scale=scale)
    times = programs.times(shape_of(q, k, v), ways, (q, k, v))
    best, *others = sorted((name for name in ways if name in times), key=lambda name: times[name])
    against = " and ".join(f"{times[name]:.3g} ({name})" for name in others)
    return Choice(best, f"{best}: {times[best]:.3g} ms against {against or 'nothing else'}, measured on this machine")


def our_kernels(q: Tensor, k: Tensor, v: Tensor, scale: float) -> list[Name]:
    """Which of them can compute plain causal attention of these heads on this processor."""
    found: list[Name] = []
    if scale > 0 and available(q, k, v):
        found.append("tiled")
    if kernels.attends(q, k, v):
        found.append("native")
    return found


def causal_by_kernel(q: Tensor, k: Tensor, v: Tensor, *, scale: float) -> Tensor:
    """`attend` of one piece under the plain causal mask by our own kernel of float32."""
    return merged_attention(q, k, v, [Share(below(0, q.shape[2], 0))], scale)


def fused(q: Tensor, k: Tensor, v: Tensor, *, scale: float, mask: Tensor | None, causal: bool) -> Tensor:
    """`attend` of one piece by torch's scaled_dot_product_attention; rows that see nothing give zeros.

    `causal` is the plain causal mask of equally many queries and keys, and excludes `mask`.
    """
    grouped = k.shape[1] != q.shape[1]
    if causal:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=grouped)
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, scale=scale, enable_gqa=grouped)
    visible = mask.any(dim=-1, keepdim=True)
    # A row that sees nothing is shown everything and zeroed afterwards: no NaN in value or gradient.
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask | ~visible, scale=scale, enable_gqa=grouped)
    return out.masked_fill(~visible, 0.0)


def run(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    position: Position,
    q_positions: Tensor,
    k_positions: Tensor | None,
    keys_rotated: bool,
    scale: float,
    normalizer: Normalizer,
    mask: Tensor | None,
    causal: bool,
    plain_causal: bool,
) -> Tensor:
    """Attention of q over k and v with everything that the parts ask for.

    mask: boolean, broadcastable to the scores, or None where every pair is seen or `plain_causal` holds.
    causal: no query sees a later key. plain_causal: the mask is exactly the causal one over the same tokens.
    keys_rotated: k comes from a cache of rotated keys. k_positions: None of such a cache, which keeps none.
    """
    bias = None if k_positions is None else position.bias(q.shape[1], q_positions, k_positions)
    able = our_kernels(q, k, v, scale) if plain_causal else ()
    one_query = q.shape[2] == 1 and k.shape[2] > 1
    choice = choose(normalizer, position, bias is not None, k.shape[2], q.device.type, plain_causal, able, one_query)
    if choice.program != "dense" or keys_rotated:
        rotated_q = position.rotate(q, q_positions)
        rotated_k = k if keys_rotated or k_positions is None else position.rotate_key(k, k_positions)
        if plain_causal and choice.program != "dense":
            choice = choose_causal(choice, rotated_q, rotated_k, v, scale, able)
        tell(choice.why, rotated_q, rotated_k, v)
        if choice.program == "tiled":
            return tiled(rotated_q, rotated_k, v, scale)
        if choice.program == "native":
            return causal_by_kernel(rotated_q, rotated_k, v, scale=scale)
        if choice.program == "materialised":
            return materialised(rotated_q, rotated_k, v, scale)
        if choice.program == "fused":
            run = Run(rotated_q, rotated_k, v)
            if one_query and beats_fused(run, normalizer, mask):
                return read_once([run], scale=scale, normalizer=normalizer, mask=mask)
            return fused(rotated_q, rotated_k, v, scale=scale, mask=mask, causal=plain_causal)
        pieces = [Piece(rotated_q, rotated_k, None)]
    else:
        assert k_positions is not None
        tell(choice.why, q, k, v)
        pieces = position.pieces(q, k, q_positions, k_positions, causal)
    if plain_causal:
        mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).tril()
        if isinstance(normalizer, Softmax):
            # Every row sees itself, so adding -inf does what the mask does in one pass over the scores.
            hidden = causal_bias(q.shape[2], q)
            bias, mask = hidden if bias is None else bias + hidden, None
    return attend(pieces, v, scale=scale, normalizer=normalizer, mask=mask, bias=bias)
