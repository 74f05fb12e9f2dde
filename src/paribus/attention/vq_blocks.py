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


class _Part(NamedTuple):
    """One of the two near blocks of a block of queries."""

    columns: slice  # of the near logits
    places: slice  # of keys and values
    table: slice  # columns of the (size, 2 size) table of distances


class _Step(NamedTuple):
    """One block of queries."""

    at: slice  # of the queries
    rows: slice  # of the table of distances
    parts: list[_Part]
    n_far: int  # columns of the table of codes
    keys: Tensor  # (rows, d + 1, columns)
    values: Tensor  # (rows, columns, d_v)


class _Walk:
    """One pass over the blocks, and its buffers: keys (as columns, the faster layout) and values, far and then near.

    The two near blocks take turns in two slots, so that each is copied once; what is left in a slot of an earlier
    block is ahead of every query, and so hidden. A key carries what is added to its logit as one more coordinate
    (ln n in the table, 0 near), a query a one.
    """

    def __init__(self, k: Tensor, v: Tensor, which: Tensor, codes: Tensor, far: Far, blocks: Blocks) -> None:
        rows, n, d_v = v.shape
        self.k, self.v, self.which, self.blocks = k, v, which, blocks
        self.n_codes = codes.shape[1]
        room = self.n_codes + 2 * blocks.size
        self.keys = k.new_zeros(rows, k.shape[-1] + 1, room)
        self.keys[:, :-1, : self.n_codes] = codes.transpose(1, 2)
        self.keys[:, -1, : self.n_codes] = _log(far.number)
        self.values = v.new_zeros(rows, room, d_v)
        self.values[:, : self.n_codes] = far.mean
        self.query = k.new_ones(rows, blocks.size, k.shape[-1] + 1)
        self.loaded = -1  # the last block whose keys and values are in their slot
        self.folded = 0  # blocks that the table holds
        self.filled = bool(far.number.any())
        self.hides = bool((which < 0).any())
        # All counts at once; the next call begins with the block before the one that it is in.
        self.n_folds = max(0, n // blocks.size - 1)
        old = self.n_folds * blocks.size
        index = which[:, :old].unflatten(1, (-1, blocks.size)).clamp_min(0).transpose(0, 1)  # (folds, rows, size)
        seen = (which[:, :old] >= 0).to(v.dtype).unflatten(1, (-1, blocks.size)).transpose(0, 1)
        added = v.new_zeros(self.n_folds, rows, self.n_codes).scatter_add_(2, index, seen)
        number = added.cumsum(0) + far.number
        self.number = number[-1].clone() if self.n_folds else far.number.clone()
        self.log = _log(number)
        whole = number.clamp_min_(1)
        self.kept = (1 - added / whole).unsqueeze(-1)
        self.share = (seen / whole.gather(2, index)).unsqueeze(-1)
        self.index = (index + torch.arange(rows, device=v.device)[:, None] * room).flatten(1)

    def fold(self, until: int) -> None:
        """Take blocks up to number `until` into the table: means of more tokens."""
        for fold in range(self.folded, until):
            table = self.values[:, : self.n_codes]
            table *= self.kept[fold]
            shares = self.v[:, fold * self.blocks.size : (fold + 1) * self.blocks.size] * self.share[fold]
            self.values.view(-1, table.shape[-1]).index_add_(0, self.index[fold], shares.flatten(0, 1))
            self.keys[:, -1, : self.n_codes] = self.log[fold]
            self.folded, self.filled = fold + 1, True

    def step(self, index: int) -> _Step:
        """Block `index`, with its keys and values in place."""
        size, n, first = self.blocks.size, self.v.shape[1], self.blocks.first
        self.fold(max(0, index - 1))
        for block in range(max(self.loaded + 1, index - 1), index + 1):
            own = slice(block * size, min((block + 1) * size, n))
            begin = self.n_codes + block % 2 * size
            end = begin + own.stop - own.start
            self.keys[:, :-1, begin:end] = self.k[:, own].transpose(1, 2)
            self.values[:, begin:end] = self.v[:, own]
            self.loaded = block
        own = slice(index * size, min((index + 1) * size, n))
        width = own.stop - own.start
        slot = index % 2 * size
        parts = [_Part(slice(slot, slot + width), own, slice(size, size + width))]
        if index > 0:
            other = size - slot
            parts.append(_Part(slice(other, other + size), slice(own.start - size, own.start), slice(size)))
        queries = slice(max(own.start, first), own.stop)
        far = 0 if self.filled else self.n_codes
        end = self.n_codes + (2 * size if index > 0 else width)
        return _Step(
            at=slice(queries.start - first, queries.stop - first),
            rows=slice(queries.start - own.start, width),
            parts=parts,
            n_far=self.n_codes - far,
            keys=self.keys[:, :, far:end],
            values=self.values[:, far:end],
        )

    def weights(self, step: _Step, q: Tensor, turned_q: Tensor | None, turned_k: Tensor | None, bias: Tensor) -> Tensor:
        """Softmax over all columns of a step, (rows, queries, columns)."""
        blocks = self.blocks
        query = self.query[:, : step.at.stop - step.at.start]
        torch.mul(q[:, step.at], blocks.scale, out=query[:, :, :-1])
        logits = torch.bmm(query, step.keys)
        near = logits[:, :, step.n_far :]
        if len(step.parts) > 1 and step.parts[0].columns.stop - step.parts[0].columns.start < blocks.size:
            left = slice(step.parts[0].columns.stop, step.parts[0].columns.start + blocks.size)
            near[:, :, left] = HIDDEN
        for part in step.parts:
            own = near[:, :, part.columns]
            if turned_q is not None and turned_k is not None:
                turned = torch.bmm(turned_q[:, step.at] * blocks.scale, turned_k[:, part.places].transpose(1, 2))
                own.copy_(torch.where(self.turned(step, part), turned, own))
            own.unflatten(0, (-1, len(bias))).add_(bias[:, step.rows, part.table])
            if self.hides:
                own.masked_fill_((self.which[:, part.places] < 0).unsqueeze(1), HIDDEN)
        return torch.softmax(logits, dim=-1)

    def turned(self, step: _Step, part: _Part) -> Tensor:
        """Which pairs are scored by turned vectors."""
        assert self.blocks.window is not None
        return distances(self.blocks.size, self.v.device)[step.rows, part.table] < self.blocks.window


def _log(number: Tensor) -> Tensor:
    return number.log().clamp_min_(HIDDEN)


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
        for index in range(blocks.first // blocks.size, -(-v.shape[1] // blocks.size)):
            step = walk.step(index)
            out[:, step.at] = torch.bmm(walk.weights(step, q, turned_q, turned_k, bias), step.values)
        walk.fold(walk.n_folds)
        ctx.save_for_backward(q, turned_q, k, turned_k, v, bias, which, codes, out, *far)
        ctx.blocks = blocks
        mean = walk.values[:, : walk.n_codes].clone()
        ctx.mark_non_differentiable(mean, walk.number)
        return out, mean, walk.number

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, turned_q, k, turned_k, v, bias, which, codes, out, *far = ctx.saved_tensors
        blocks, do = ctx.blocks, gradients[0]
        walk = _Walk(k, v, which, codes, Far(*far), blocks)
        dq, dk, dv, dbias = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v), torch.zeros_like(bias)
        d_turned_q = None if turned_q is None else torch.zeros_like(turned_q)
        d_turned_k = None if turned_k is None else torch.zeros_like(turned_k)
        scale = blocks.scale
        for index in range(blocks.first // blocks.size, -(-v.shape[1] // blocks.size)):
            step = walk.step(index)
            weights = walk.weights(step, q, turned_q, turned_k, bias)
            at, n_far, do_ = step.at, step.n_far, do[:, step.at]
            inner = torch.linalg.vecdot(do_, out[:, at]).unsqueeze(-1)
            d_logits = torch.bmm(do_, step.values.transpose(1, 2)).sub_(inner).mul_(weights)
            for part in step.parts:
                columns = slice(n_far + part.columns.start, n_far + part.columns.stop)
                dv[:, part.places] += torch.bmm(weights[:, :, columns].transpose(1, 2), do_)
                d_near = d_logits[:, :, columns]
                dbias[:, step.rows, part.table] += d_near.unflatten(0, (-1, len(bias))).sum(0)
                if turned_q is not None and turned_k is not None and d_turned_q is not None and d_turned_k is not None:
                    turned = walk.turned(step, part)
                    d_turned = d_near.masked_fill(~turned, 0.0).mul_(scale)
                    d_near.masked_fill_(turned, 0.0)
                    d_turned_q[:, at] += torch.bmm(d_turned, turned_k[:, part.places])
                    d_turned_k[:, part.places] += torch.bmm(d_turned.transpose(1, 2), turned_q[:, at])
                dk[:, part.places] += torch.bmm(d_near.transpose(1, 2), walk.query[:, : at.stop - at.start, :-1])
            dq[:, at] = torch.bmm(d_logits, step.keys[:, :-1].transpose(1, 2)).mul_(scale)
        return dq, d_turned_q, dk, d_turned_k, dv, dbias, None, None, None, None


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
    out, mean, number = _BlockAttention.apply(  # type: ignore[no-untyped-call]
        *flat, bias, which.flatten(0, 1), table, far, blocks
    )
    return out.unflatten(0, (batch, heads)), Far(mean, number)
