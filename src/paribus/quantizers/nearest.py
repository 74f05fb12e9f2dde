"""The nearest code of every vector: argmin_s |x - c_s|^2 = argmax_s <x, c_s> - |c_s|^2 / 2, a few vectors at a time."""

import torch
from torch import Tensor

from paribus.ops.precision import widened

AT_ONCE = 256  # vectors of a group: their scores stay in cache


@torch.no_grad()
def nearest(x: Tensor, codes: Tensor) -> Tensor:
    """x (batch, groups, length, width), codes (groups, n_codes, width) -> int64 (batch, groups, length)."""
    batch, groups, length, _ = x.shape
    found = torch.empty(batch, groups, length, dtype=torch.int64, device=x.device)
    with torch.autocast(x.device.type, enabled=False):
        wide = widened(codes)
        wide = wide.to(torch.promote_types(wide.dtype, x.dtype))
        half = -0.5 * wide.square().sum(-1)
        table = wide.expand(batch, -1, -1, -1).flatten(0, 1).transpose(1, 2)
        bias = half.expand(batch, -1, -1).flatten(0, 1).unsqueeze(1)
        for start in range(0, length, AT_ONCE):
            part = x[:, :, start : start + AT_ONCE].to(wide.dtype).flatten(0, 1)
            found[:, :, start : start + AT_ONCE] = torch.baddbmm(bias, part, table).argmax(-1).unflatten(0, (batch, -1))
    return found


def look_up(codes: Tensor, which: Tensor) -> Tensor:
    """codes (groups, n_codes, width), which (batch, groups, length) -> (batch, groups, length, width)."""
    offset = torch.arange(codes.shape[0], device=codes.device)[:, None] * codes.shape[1]
    return codes.flatten(0, 1)[which + offset]
