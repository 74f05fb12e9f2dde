"""Kernels for tensors of a CPU, float32 or bfloat16, each one pass over memory where torch takes several.

They know nothing of autograd: whoever calls one asks `usable` first, keeps the slow twin beside it for every other
tensor, and writes the backward pass. All arithmetic is float32; 16-bit results are rounded once. Threads are torch's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils.flop_counter import _FlopCounterMode

from paribus.ops import _kernels
from paribus.ops.blocks import Blocks
from paribus.ops.spans import Spans

DTYPES = (torch.float32, torch.bfloat16)
PLAIN = (Tensor, nn.Parameter)
ALONE = 2**13  # numbers that one thread takes
# Sums over rows are taken block by block, so that they do not depend on the number of threads.
ROWS_AT_ONCE = 64


def usable(*tensors: Tensor) -> bool:
    """True for plain tensors in the memory of this process: no compiler, transform or subclass stands in between."""
    if torch.compiler.is_compiling() or mapped() or watched():
        return False
    return all(x.dtype in DTYPES and x.is_cpu and type(x) in PLAIN for x in tensors)


def mapped() -> bool:
    """True inside a transform of torch.func, which knows neither a kernel nor a gradient written by hand."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def watched() -> bool:
    """True under a mode that sees every operator, as one that counts FLOPs; one that need not has `knows_kernels`."""
    mode = _get_current_dispatch_mode()
    return mode is not None and not getattr(mode, "knows_kernels", False)


def counted() -> bool:
    """True while torch counts FLOPs: it takes its own fused attention for nothing, and all pairs are written out."""
    return isinstance(_get_current_dispatch_mode(), _FlopCounterMode)


def _threads(x: Tensor) -> int:
    """One for the few rows of a step of decoding: waking the others takes longer than the work."""
    return 1 if x.numel() < ALONE else torch.get_num_threads()


def _floats(*shape: int) -> Tensor:
    """Room for numbers of 32 bits, whatever type and device tensors have by default."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def _half(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16


def _strides(x: Tensor) -> tuple[int, int, int]:
    return x.stride(0), x.stride(1), x.stride(2)


def causal_softmax_(scores: Tensor, period: int, scale: float) -> Tensor:
    """softmax(scale * scores) in place over the last axis: row r sees its first r % period + 1 entries, others get 0.

    scores (..., rows, n) contiguous; rows of one head follow each other, `period` of them a head.
    """
    assert scores.is_contiguous()
    n = scores.shape[-1]
    rows = scores.numel() // max(n, 1)
    _kernels.causal_softmax(_half(scores), scores.data_ptr(), rows, n, period, scale, torch.get_num_threads())
    return scores


def causal_softmax_backward_(gradient: Tensor, weights: Tensor, period: int, scale: float) -> Tensor:
    """The gradient of the scores, in place on that of the weights: scale * w * (g - sum w g)."""
    assert gradient.is_contiguous()
    assert weights.is_contiguous()
    assert weights.shape == gradient.shape
    assert weights.dtype == gradient.dtype
    n = weights.shape[-1]
    rows = weights.numel() // max(n, 1)
    _kernels.causal_softmax_backward(
        _half(weights), gradient.data_ptr(), weights.data_ptr(), rows, n, period, scale, torch.get_num_threads()
    )
    return gradient


def rms_norm(x: Tensor, gain: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """gain * x / sqrt(mean(x^2) + eps) over the last axis in `dtype`, and 1 / sqrt(...) of each row."""
    assert x.is_contiguous()
    assert gain.is_contiguous()
    assert gain.dtype == torch.float32
    y = torch.empty(x.shape, dtype=dtype, device="cpu")
    inverse = _floats(*x.shape[:-1])
    addresses = (x.data_ptr(), gain.data_ptr(), y.data_ptr(), inverse.data_ptr())
    _kernels.rms_norm(_half(x), _half(y), *addresses, inverse.numel(), x.shape[-1], eps, _threads(x))
    return y, inverse


def rms_norm_backward(dy: Tensor, x: Tensor, gain: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of x and gain."""
    assert dy.is_contiguous()
    assert x.is_contiguous()
    rows, d = inverse.numel(), x.shape[-1]
    dx = torch.empty_like(x)
    sums = _floats(-(-rows // ROWS_AT_ONCE), d)
    given = (x.data_ptr(), gain.data_ptr(), inverse.data_ptr(), dy.data_ptr())
    made = (dx.data_ptr(), sums.data_ptr())
    _kernels.rms_norm_backward(_half(x), _half(dy), *given, *made, rows, d, ROWS_AT_ONCE, torch.get_num_threads())
    return dx, sums.sum(dim=0)


Run = tuple[Tensor, Tensor, Tensor]


def one_query(runs: Sequence[Run], scale: float, seen: Tensor | None = None) -> Tensor:
    """softmax(scale q k^T) v over the keys of all runs together, for one query a head: (batch, heads, 1, e).

    runs: q (batch, heads, 1, d) as it meets these keys, k (batch, kv_heads, n, d) and v (batch, kv_heads, n, e), each
    strided but for its last axis. seen: boolean (batch or 1, all keys); a query that sees none gives zeros.
    """
    q, k, v = runs[0]
    (batch, heads, _, d), groups, e = q.shape, k.shape[1], v.shape[3]
    assert heads % groups == 0
    given, keys = [], 0
    for q, k, v in runs:
        n = k.shape[2]
        assert q.dtype == k.dtype == v.dtype
        assert (q.shape, k.shape, v.shape) == ((batch, heads, 1, d), (batch, groups, n, d), (batch, groups, n, e))
        assert q.stride(-1) == k.stride(-1) == v.stride(-1) == 1
        given.append((_array(q), _array(k), _array(v), n))
        keys += n
    out = torch.empty(batch, heads, 1, e, dtype=q.dtype, device="cpu")
    address, step = 0, 0
    if seen is not None:
        assert seen.dtype == torch.bool
        assert seen.is_cpu
        assert seen.shape in ((1, keys), (batch, keys))
        seen = seen.contiguous()
        address, step = seen.data_ptr(), 0 if len(seen) == 1 else keys
    threads = 1 if keys * batch * groups * (d + e) < ALONE else torch.get_num_threads()
    sizes = (batch, groups, heads // groups, d, e)
    _kernels.one_query(_half(q), given, sizes, address, step, scale, out.data_ptr(), threads)
    return out


def attends(*tensors: Tensor) -> bool:
    """Whether attention over spans takes these, and takes them faster than torch does: measured on x86 alone.

    Autocast asks for 16 bits, which torch's kernels have units for.
    """
    if _kernels.compiled_for == "plain" or torch.is_autocast_enabled("cpu"):
        return False
    return usable(*tensors) and all(x.dtype == torch.float32 for x in tensors)


class SpanRun(NamedTuple):
    """Each row meets the keys of its span by these vectors.

    query (batch, heads, m, d), of the rows from first_row on; key (batch, kv_heads, n, d), of the keys from first_key
    on: at least those that the spans name.
    """

    query: Tensor
    key: Tensor
    spans: Spans
    first_row: int = 0
    first_key: int = 0


def span_attention(runs: Sequence[SpanRun], v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """softmax(scale q k^T) v over the keys of all runs together (batch, heads, rows, e), and its log-sum-exp.

    v (batch, kv_heads, keys, e). All float32, strided but for the last axis. A row that meets no key gives zeros, and
    -inf. No key of a row may be met in two runs.
    """
    sizes = _span_sizes(runs[0], v)
    assert all(_span_sizes(run, v) == sizes for run in runs)
    (batch, heads, _, rows, _, e), given = sizes, [_span_run(run, v) for run in runs]
    out, log_sums = _floats(batch, heads, rows, e), _floats(batch, heads, rows)
    addresses = (out.data_ptr(), log_sums.data_ptr())
    _kernels.span_attention(given, _array(v), sizes, scale, *addresses, torch.get_num_threads())
    return out, log_sums


def span_attention_backward(
    gradient: Tensor, run: SpanRun, v: Tensor, out: Tensor, log_sums: Tensor, scale: float, d_values: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of the run's queries, and of its keys as each query head reads them (batch, heads, n, d).

    out and log_sums (batch, heads, rows): of all runs together. Those of the values, once for each query head too, are
    added to d_values (batch, heads, keys, e).
    """
    batch, heads, _, rows, d, e = sizes = _span_sizes(run, v)
    assert gradient.stride(-1) == 1
    assert gradient.shape == out.shape == (batch, heads, rows, e)
    assert log_sums.shape == (batch, heads, rows)
    assert d_values.shape == (batch, heads, v.shape[2], e)
    assert all(x.dtype == torch.float32 and x.is_cpu for x in (gradient, out, log_sums, d_values))
    assert all(x.is_contiguous() for x in (out, log_sums, d_values))
    (m, n), given = (run.query.shape[2], run.key.shape[2]), _span_run(run, v)
    d_query, d_key = _floats(batch, heads, m, d).zero_(), _floats(batch, heads, n, d).zero_()
    operands = (given, _array(v), _array(gradient), out.data_ptr(), log_sums.data_ptr())
    found = (d_query.data_ptr(), d_key.data_ptr(), d_values.data_ptr())
    lengths = (m, n, v.shape[2])
    _kernels.span_attention_backward(*operands, sizes, lengths, scale, *found, torch.get_num_threads())
    return d_query, d_key


def _span_sizes(run: SpanRun, v: Tensor) -> tuple[int, int, int, int, int, int]:
    """batch, heads, query heads that share a head of keys, rows, and the widths of a key and of a value."""
    (batch, heads, _, d), (_, groups, _, e) = run.query.shape, v.shape
    assert heads % groups == 0
    return batch, heads, heads // groups, len(run.spans.low), d, e


def _span_run(run: SpanRun, v: Tensor) -> "_kernels.SpanRun":
    """As the kernel takes it, which reads those rows and keys alone that the spans name."""
    (batch, _, m, d), (_, groups, n, _), spans = run.query.shape, run.key.shape, run.spans
    assert v.shape[:2] == run.key.shape[:2] == (batch, groups)
    assert run.key.shape[3] == d
    for x in (run.query, run.key, v):
        assert x.dtype == torch.float32
        assert x.is_cpu
        assert x.stride(-1) == 1
    if not spans.empty:
        assert run.first_row <= spans.rows[0]
        assert spans.rows[1] <= run.first_row + m
        assert max(0, run.first_key) <= spans.keys[0]
        assert spans.keys[1] <= min(run.first_key + n, v.shape[2])
    ends = (spans.low.data_ptr(), spans.high.data_ptr())
    return _array(run.query), _array(run.key), run.first_row, run.first_key, *ends


def few_rows(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T in bfloat16, for x (..., n_in) of a few rows and W (n_out, n_in)."""
    assert x.is_contiguous()
    assert weight.is_contiguous()
    assert x.dtype == weight.dtype == torch.bfloat16
    n_out, n_in = weight.shape
    y = torch.empty((*x.shape[:-1], n_out), dtype=weight.dtype, device="cpu")
    rows = x.numel() // n_in
    addresses = (x.data_ptr(), weight.data_ptr(), y.data_ptr())
    _kernels.few_rows(*addresses, rows, n_in, n_out, torch.get_num_threads())
    return y


def block_rows(x: Tensor, blocks: Blocks) -> Tensor:
    """x W^T for x float32 (..., n_in) of a few rows and a matrix in blocks, unfolded on the way."""
    n_out, n_in = blocks.shape
    assert x.is_contiguous()
    assert x.dtype == torch.float32
    assert x.shape[-1] == n_in
    assert blocks.stored.is_contiguous()
    y = _floats(*x.shape[:-1], n_out)
    addresses = (x.data_ptr(), blocks.stored.data_ptr(), y.data_ptr())
    _kernels.block_rows(blocks.bits == 8, *addresses, x.numel() // n_in, n_in, n_out, torch.get_num_threads())
    return y


def rotate(x: Tensor, cos: Tensor, sin: Tensor, backwards: bool = False) -> Tensor:
    """Turn the half-split pairs of x (batch, heads, length, head_dim) by angles (batch or 1, 1, length, head_dim / 2).

    x may be strided but for its last axis; the result lies as x does: the heads of a token side by side, or the tokens
    of a head.
    """
    batch, heads, length, head_dim = x.shape
    assert x.stride(-1) == 1
    assert cos.dtype == sin.dtype == torch.float32
    assert cos.shape == sin.shape == (cos.shape[0], 1, length, head_dim // 2)
    cos, sin = cos.contiguous(), sin.contiguous()
    by_token = x.stride(1) < x.stride(2)
    y = (
        _by_token(batch, heads, length, head_dim, x.dtype)
        if by_token
        else torch.empty_like(x, memory_format=torch.contiguous_format)
    )
    _kernels.rotate(
        _half(x),
        x.data_ptr(),
        _strides(x),
        y.data_ptr(),
        _strides(y),
        cos.data_ptr(),
        sin.data_ptr(),
        0 if cos.shape[0] == 1 else length * (head_dim // 2),
        batch,
        heads,
        length,
        head_dim // 2,
        -1.0 if backwards else 1.0,
        _threads(x),
    )
    return y


def cross_entropy(logits: Tensor, targets: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """The loss of each row of logits (rows, n), 0 where its target is `ignored`, and log sum exp of the row."""
    rows, n = logits.shape
    assert logits.is_contiguous()
    assert targets.is_contiguous()
    assert targets.shape == (rows,)
    assert targets.dtype == torch.int64
    losses, log_sum = _floats(rows), _floats(rows)
    addresses = (log_sum.data_ptr(), losses.data_ptr())
    _kernels.cross_entropy(
        _half(logits), logits.data_ptr(), targets.data_ptr(), ignored, *addresses, rows, n, torch.get_num_threads()
    )
    return losses, log_sum


def cross_entropy_backward(logits: Tensor, targets: Tensor, ignored: int, log_sum: Tensor, factor: float) -> Tensor:
    """factor * (softmax(logits) - onehot(target)), 0 in the rows that are ignored; in the type of the logits."""
    rows, n = logits.shape
    gradient = torch.empty_like(logits)
    _kernels.cross_entropy_backward(
        _half(logits),
        logits.data_ptr(),
        targets.data_ptr(),
        ignored,
        log_sum.data_ptr(),
        gradient.data_ptr(),
        factor,
        rows,
        n,
        torch.get_num_threads(),
    )
    return gradient


def attention_available() -> bool:
    """Whether this processor has matrix units for 16-bit numbers that `attention` can use."""
    return _kernels.attention_available()


def attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """softmax(scale q k^T) v under the causal mask, and log2 sum exp of each row of scores, (batch, heads, n).

    q (batch, heads, n, d), k (batch, kv_heads, n, d), v (batch, kv_heads, n, e), all bfloat16; scale > 0.
    """
    q, k, v = map(_rows, (q, k, v))
    out = _by_token(q.shape[0], q.shape[1], q.shape[2], v.shape[3])
    log_sums = _floats(*q.shape[:3])
    arrays = (_array(q), _array(k), _array(v), _array(out))
    _kernels.attention(*arrays, log_sums.data_ptr(), _dimensions(q, k, v), scale, torch.get_num_threads())
    return out, log_sums


def attention_backward(
    d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, log_sums: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v."""
    d_out, q, k, v = map(_rows, (d_out, q, k, v))
    made = [_by_token(x.shape[0], x.shape[1], x.shape[2], x.shape[3]) for x in (q, k, v)]
    given = (_array(q), _array(k), _array(v), _array(out), log_sums.data_ptr(), _array(d_out))
    found = (_array(made[0]), _array(made[1]), _array(made[2]))
    _kernels.attention_backward(*given, *found, _dimensions(q, k, v), scale, torch.get_num_threads())
    return made[0], made[1], made[2]


def _rows(x: Tensor) -> Tensor:
    """x with each of its rows contiguous."""
    assert x.dtype == torch.bfloat16
    return x if x.stride(-1) == 1 else x.contiguous()


def _by_token(batch: int, heads: int, n: int, width: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Room for (batch, heads, n, width), the heads of a token side by side."""
    return torch.empty(batch, n, heads, width, dtype=dtype, device="cpu").transpose(1, 2)


def _array(x: Tensor) -> tuple[int, int, int, int]:
    return x.data_ptr(), *_strides(x)


def _dimensions(q: Tensor, k: Tensor, v: Tensor) -> tuple[int, int, int, int, int, int]:
    batch, heads, n, width = q.shape
    assert k.shape == (batch, k.shape[1], n, width)
    assert v.shape[:3] == k.shape[:3]
    assert heads % k.shape[1] == 0
    return batch, heads, k.shape[1], n, width, v.shape[3]
