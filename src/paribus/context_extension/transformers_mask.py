"""What the layers of a transformers model see, in one row of numbers where that says it, and else in a whole table.

transformers asks `masking` for the mask of each pass and hands the answer to the attention of every layer, where `seen`
reads it:

    None                           plainly causal
    booleans (batch, 1, 1, n_keys) causal, False where a key is padding on the left
    int64    (batch, 1, 1, n_keys) causal with a sliding window w: -w, and 0 where a key is padding on the left
    else                           a table, (batch or 1, 1, n_queries, n_keys), of booleans or of what is added

Keys end with the last query's own, while a cache of fixed size has room behind it.
"""

from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from paribus.attention.layout import Layout
from paribus.attention.visibility import Visibility
from paribus.core.errors import InputError


def masking(masks: Any) -> Callable[..., Tensor | None]:
    """The function that makes the masks. masks: the module transformers.masking_utils."""
    return partial(_visible, masks)


def _visible(masks: Any, batch_size: int, q_length: int, kv_length: int, **told: Any) -> Tensor | None:
    offset = told.get("kv_offset", 0)
    end = int(told.get("q_offset", 0)) + q_length - offset
    padding: Tensor | None = masks.prepare_padding_mask(told.get("attention_mask"), kv_length, offset)
    valid = None if padding is None else padding[:, offset : offset + end]
    window = _window(masks, told, end)
    if window is None or end > kv_length or (valid is not None and bool((valid[:, 1:] < valid[:, :-1]).any())):
        table: Tensor = masks.sdpa_mask(batch_size, q_length, kv_length, **{**told, "allow_is_causal_skip": False})
        return table[..., :end]
    if valid is None:
        valid = torch.ones(batch_size, end, dtype=torch.bool, device=told.get("device"))
    if window < end and q_length == 1:  # to one query, a key beyond the window is as padding
        valid = valid & (torch.arange(end, device=valid.device) >= end - window)
    elif window < end and bool(valid.any()):
        return (valid.long() * -window)[:, None, None]
    return None if end == kv_length and bool(valid.all()) else valid[:, None, None]


def _window(masks: Any, told: dict[str, Any], n_keys: int) -> int | None:
    """How many of these keys a query sees, all of them under the plain causal mask; None: not known for certain."""
    function, size = told.get("mask_function", masks.causal_mask_function), told.get("local_size")
    if function is masks.causal_mask_function:
        return n_keys
    sliding = isinstance(size, int) and size > 0 and _alike(function, masks.sliding_window_causal_mask_function(size))
    return size if sliding else None


def _alike(a: Any, b: Any) -> bool:
    """Is this the same code over the same numbers? What it holds is compared, since it is made anew in each pass."""
    if isinstance(a, FunctionType) and isinstance(b, FunctionType):
        cells = [[cell.cell_contents for cell in one.__closure__ or ()] for one in (a, b)]
        return a is b or (a.__code__ is b.__code__ and _alike(*cells))
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_alike, a, b))
    return a is b or (isinstance(a, int) and isinstance(b, int) and a == b)


def seen(mask: Tensor | None, n_queries: int, n_keys: int, like: Tensor) -> Visibility:
    """What the last queries see of the keys. mask: one of the forms above, or the user's own table.

    Raises InputError for a table of whole numbers, which may mean either of two things, and for one that shows keys
    that come later.
    """
    index = torch.arange(n_keys, device=like.device)
    last = index[n_keys - n_queries :]
    few = Layout() if mask is None else _in_few_words(mask)
    if few is None:
        assert mask is not None
        table, later = mask if mask.dtype == torch.bool else mask >= 0, index > last[:, None]
        if bool((table & later).any()):
            raise InputError(
                "the attention mask shows queries keys that come later, as of an image that is read both ways; a map "
                "of distances or a scale reads causally: use a rewrite of frequencies, such as YaRN"
            )
        return Visibility(lambda: table, table.sum(dim=-1), True, False)
    plain = few.window is None and few.valid is None

    def dense() -> Tensor:
        shown = (index <= last[:, None])[None, None]
        if few.window is not None:
            shown = shown & (index > last[:, None] - few.window)
        return shown if few.valid is None else shown & few.valid[:, None, None]

    everything = plain and n_queries in (1, n_keys)
    plain_causal = plain and n_queries == n_keys
    return Visibility(None if everything else dense, few.n_keys(last, n_keys), True, plain_causal, few)


def _in_few_words(mask: Tensor) -> Layout | None:
    """The layout that a row says, or None for a table."""
    row = mask[:, 0, 0] if mask.shape[2] == 1 else None
    if mask.dtype == torch.bool:
        if row is None or bool((row[:, 1:] < row[:, :-1]).any()):
            return None
        return Layout(valid=None if bool(row.all()) else row)
    if mask.dtype.is_floating_point:
        return None
    if row is None or mask.dtype != torch.int64 or int(row.max()) > 0 or (window := -int(row.min())) == 0:
        raise InputError(
            f"an attention mask of {str(mask.dtype).removeprefix('torch.')} and shape {tuple(mask.shape)}: expected "
            "booleans, True where a key is seen, or numbers of a floating type that are added to the scores"
        )
    valid = row < 0
    return Layout(window, None if bool(valid.all()) else valid)
