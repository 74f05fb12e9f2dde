"""Causal softmax over keys that are codes, in blocks: exact, and linear in the number of tokens.

Keys of one code share their exponential, so that everything older than the previous block is read from one table per
head, the mean value v_s and the number n_s of the tokens of every code:

    logits = [ c far_q C^T + ln n | c q K^T + bias over the previous and the own block ],  values = [ v_1 .. v_S | V ]
    o = softmax(logits) values

Numbers enter as ln n beside the logits and values as means, so that no sum can overflow. Gradients flow through the
two near blocks; the table is a memory without gradient, and codes are not trained here. Backward passes over the
blocks in the same order, rebuilding table and weights as it goes, so that no weight is ever stored. The slow twin is
`dense` in attention/vq.py.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

HIDDEN = -1e30  # a logit that is never chosen, and finite, so that a row that sees nothing has no NaN


class Far(NamedTuple):
    """What is known of all tokens that are older than the near blocks."""

    mean: Tensor  # (rows, codes, d_v), float32 at least
    number: Tensor  # (rows, codes)


class Blocks(NamedTuple):
    """How the places are cut, the same for every row."""

    size: int  # places of a block
    first: int  # how many places stand before the first query: the near tokens of an earlier call
    scale: float
    window: int | None  # distances below it are scored by the turned vectors (ReRoPE); None: nothing is turned


def near_bias(table: Tensor | None, size: int, heads: int, like: Tensor) -> Tensor:
    """(heads, size, 2 size): what is added to the logits of a block and of the one before it; HIDDEN ahead."""
    distance = distances(size, like.device)
    bias = like.new_zeros(heads, size, 2 * size)
    if table is not None:
        inside = (distance >= 0) & (distance < table.shape[1])
        bias[:, inside] = table[:, distance[inside]].to(like.dtype)
    return bias.masked_fill_(distance < 0, HIDDEN)


def distances(size: int, device: torch.device) -> Tensor:
    """Query place minus key place, (size, 2 size), for the own block and the one before it."""
    return torch.arange(size, 2 * size, device=device)[:, None] - torch.arange(2 * size, device=device)


class _Walk:
    """The buffers of one pass over the blocks: keys and values of the table, then of the near blocks."""

    def __init__(self, k: Tensor, v: Tensor, which: Tensor, codes: Tensor, far: Far, blocks: Blocks) -> None:
        rows, _, d_v = v.shape
        self.k, self.v, self.which, self.blocks = k, v, which, blocks
        self.n_codes = codes.shape[1]
        room = self.n_codes + 2 * blocks.size
        self.keys = k.new_empty(rows, room, k.shape[-1])
        self.keys[:, : self.n_codes] = codes
        self.values = v.new_empty(rows, room, d_v)
        self.values[:, : self.n_codes] = far.mean
        self.count = far.number.clone()
        self.folded = 0  # places that the table holds
        self.filled = bool(far.number.any())
        self.hides = bool((which < 0).any())
        self.offset = torch.arange(rows, device=v.device)[:, None] * room

    def fold(self, until: int) -> None:
        """Take the places up to `until` into the table, one block at a time."""
        while self.folded < until:
            part = slice(self.folded, self.folded + self.blocks.size)
            which = self.which[:, part]
            seen = which >= 0
            index = which.clamp_min(0)
            before = self.count.clone()
            self.count.scatter_add_(1, index, seen.to(self.count.dtype))
            table = self.values[:, : self.n_codes]
            table *= (before / self.count.clamp_min(1)).unsqueeze(-1)
            share = seen / self.count.gather(1, index).clamp_min(1)
            flat = (index + self.offset).flatten()
            self.values.view(-1, table.shape[-1]).index_add_(
                0, flat, (self.v[:, part] * share.unsqueeze(-1)).flatten(0, 1)
            )
            self.folded = part.stop
            self.filled = True

    def block(self, index: int) -> tuple[slice, slice, Tensor, Tensor, int]:
        """Places of block `index`: its queries, its near keys, all keys and values, and how many of them are far."""
        size, n = self.blocks.size, self.v.shape[1]
        stop = min((index + 1) * size, n)
        near = slice(max(0, (index - 1) * size), stop)
        self.fold(near.start)
        queries = slice(max(index * size, self.blocks.first), stop)
        first = 0 if self.filled else self.n_codes
        end = self.n_codes + near.stop - near.start
        self.keys[:, self.n_codes : end] = self.k[:, near]
        self.values[:, self.n_codes : end] = self.v[:, near]
        return queries, near, self.keys[:, first:end], self.values[:, first:end], self.n_codes - first


class _BlockAttention(torch.autograd.Function):
    """q, turned_q (rows, n - first, d); k, turned_k, v (rows, n, .); bias (heads, size, 2 size); rows = batch heads."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        turned_q: Tensor | None,
        k: Tensor,
        turned_k: Tensor | None,
        v: Tensor,
        bias: Tensor,
        which: Tensor,
        codes: Tensor,
        far: Far,
        blocks: Blocks,
    ) -> tuple[Tensor, Tensor, Tensor]:
        walk = _Walk(k, v, which, codes, far, blocks)
        out = v.new_empty(*q.shape[:2], v.shape[-1])
        n, size = v.shape[1], blocks.size
        for index in range(blocks.first // size, -(-n // size)):
            weights, at, _, values, _ = _weights(walk, index, q, turned_q, turned_k, bias)
            out[:, at] = torch.bmm(weights, values)
        # The next call begins with the block before the one that it is in.
        walk.fold(max(0, n // size - 1) * size)
        ctx.save_for_backward(q, turned_q, k, turned_k, v, bias, which, codes, out, *far)
        ctx.blocks = blocks
        mean = walk.values[:, : walk.n_codes].clone()
        ctx.mark_non_differentiable(mean, walk.count)
        return out, mean, walk.count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, turned_q, k, turned_k, v, bias, which, codes, out, *far = ctx.saved_tensors
        blocks, do = ctx.blocks, gradients[0]
        walk = _Walk(k, v, which, codes, Far(*far), blocks)
        dq, dk, dv, dbias = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v), torch.zeros_like(bias)
        d_turned_q = None if turned_q is None else torch.empty_like(turned_q)
        d_turned_k = None if turned_k is None else torch.zeros_like(turned_k)
        n, size, scale = v.shape[1], blocks.size, blocks.scale
        for index in range(blocks.first // size, -(-n // size)):
            weights, at, near, values, n_far = _weights(walk, index, q, turned_q, turned_k, bias)
            do_ = do[:, at]
            dv[:, near] += torch.bmm(weights[:, :, n_far:].transpose(1, 2), do_)
            inner = torch.linalg.vecdot(do_, out[:, at]).unsqueeze(-1)
            d_logits = torch.bmm(do_, values.transpose(1, 2)).sub_(inner).mul_(weights)
            d_near = d_logits[:, :, n_far:]
            place = _place(blocks, index, at, near)
            dbias[:, place[0], place[1]] += d_near.unflatten(0, (-1, len(bias))).sum(0)
            if turned_q is not None and turned_k is not None and d_turned_q is not None and d_turned_k is not None:
                turned = _is_turned(blocks, place, q.device)
                d_turned = d_near.masked_fill(~turned, 0.0).mul_(scale)
                d_near.masked_fill_(turned, 0.0)
                d_turned_q[:, at] = torch.bmm(d_turned, turned_k[:, near])
                d_turned_k[:, near] += torch.bmm(d_turned.transpose(1, 2), turned_q[:, at])
            d_logits *= scale
            keys = walk.keys[:, walk.n_codes - n_far : walk.n_codes + near.stop - near.start]
            dq[:, at] = torch.bmm(d_logits, keys)
            dk[:, near] += torch.bmm(d_near.transpose(1, 2), q[:, at])
        return dq, d_turned_q, dk, d_turned_k, dv, dbias, None, None, None, None


def _place(blocks: Blocks, index: int, at: slice, near: slice) -> tuple[slice, slice]:
    """Where the queries and near keys of a block stand in a (size, 2 size) table; `at` counts from the first query."""
    start = at.start + blocks.first - index * blocks.size
    stop = at.stop + blocks.first - index * blocks.size
    begin = blocks.size if index == 0 else 0
    return slice(start, stop), slice(begin, begin + near.stop - near.start)


def _is_turned(blocks: Blocks, place: tuple[slice, slice], device: torch.device) -> Tensor:
    assert blocks.window is not None
    return distances(blocks.size, device)[place] < blocks.window


def _weights(
    walk: _Walk, index: int, q: Tensor, turned_q: Tensor | None, turned_k: Tensor | None, bias: Tensor
) -> tuple[Tensor, slice, slice, Tensor, int]:
    """The weights of one block, and where they belong."""
    blocks = walk.blocks
    queries, near, keys, values, n_far = walk.block(index)
    at = slice(queries.start - blocks.first, queries.stop - blocks.first)
    logits = torch.bmm(q[:, at] * blocks.scale, keys.transpose(1, 2))
    place = _place(blocks, index, at, near)
    logits_near = logits[:, :, n_far:]
    if turned_q is not None and turned_k is not None:
        turned = torch.bmm(turned_q[:, at] * blocks.scale, turned_k[:, near].transpose(1, 2))
        torch.where(_is_turned(blocks, place, q.device), turned, logits_near, out=logits_near)
    logits_near.unflatten(0, (-1, len(bias))).add_(bias[:, place[0], place[1]])
    if walk.hides:
        logits_near.masked_fill_((walk.which[:, near] < 0).unsqueeze(1), HIDDEN)
    if n_far:
        logits[:, :, :n_far] += walk.count.log().clamp_min(HIDDEN).unsqueeze(1)
    return torch.softmax(logits, dim=-1), at, near, values, n_far


def block_attention(
    q: Tensor,
    turned_q: Tensor | None,
    k: Tensor,
    turned_k: Tensor | None,
    v: Tensor,
    bias: Tensor,
    which: Tensor,
    codes: Tensor,
    far: Far | None,
    blocks: Blocks,
) -> tuple[Tensor, Far]:
    """All tensors (batch, heads, places, .), float32 or wider; `which` -1 where a key is hidden.

    Keys begin with `blocks.first` near tokens of an earlier call, at the beginning of a block. -> out (batch, heads,
    queries, d_v), and the table after all places but those of the last whole block and what follows it.
    """
    batch, heads, _, d_v = v.shape
    table = codes.to(q.dtype).expand(batch, -1, -1, -1).flatten(0, 1)
    if far is None:
        far = Far(v.new_zeros(batch * heads, table.shape[1], d_v), v.new_zeros(batch * heads, table.shape[1]))
    flat = [None if x is None else x.flatten(0, 1) for x in (q, turned_q, k, turned_k, v)]
    out, mean, count = _BlockAttention.apply(  # type: ignore[no-untyped-call]
        *flat, bias, which.flatten(0, 1), table, far, blocks
    )
    return out.unflatten(0, (batch, heads)), Far(mean, count)
