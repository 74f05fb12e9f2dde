"""Matrices in blocks of 4 or 8 bits, as GGUF files have them: W = step * code + floor, 32 numbers of a row a block.

A dense float32 matrix may carry the blocks that it came from (`attach`): a step of decoding then reads these, a fifth
to a third of the memory for the same numbers. Whoever changes the matrix is free to: the blocks no longer count.
"""

from typing import NamedTuple

import torch
from torch import Tensor

SIZE = 32  # numbers of a block
HEAD = 8  # bytes of its step and floor


class Blocks(NamedTuple):
    """stored: uint8 (n_out, blocks, 8 + bytes of codes): of each block step and floor, float32, then its codes.

    bits: 8, signed bytes that are counted from the lowest, -128; or 4, two codes in a byte, of the first 16 numbers in
    the low half and of the last in the high one.
    """

    stored: Tensor
    bits: int

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in) of the matrix."""
        return self.stored.shape[0], self.stored.shape[1] * SIZE

    def unfolded(self) -> Tensor:
        """The matrix, float32 (n_out, n_in)."""
        step, floor = self.stored[..., :HEAD].contiguous().view(torch.float32).split(1, dim=-1)
        codes = self.stored[..., HEAD:]
        codes = torch.cat((codes & 15, codes >> 4), dim=-1) if self.bits == 4 else codes ^ 128
        return (codes.float() * step + floor).flatten(1)


def blocks_of(step: Tensor, floor: Tensor, codes: Tensor, bits: int) -> Blocks:
    """step, floor (n_out, blocks); codes uint8 (n_out, blocks, 32), or 16 where bits = 4."""
    head = torch.stack((step.float(), floor.float()), dim=-1).view(torch.uint8)
    return Blocks(torch.cat((head, codes), dim=-1), bits)


def attach(weight: Tensor, blocks: Blocks) -> None:
    """Say that these blocks hold the same numbers as a float32 matrix."""
    weight.paribus_blocks = (weight.data_ptr(), weight._version, blocks)  # type: ignore[attr-defined]


def attached(weight: Tensor) -> Blocks | None:
    """The blocks of a matrix that has not been changed since they were attached."""
    found = getattr(weight, "paribus_blocks", None)
    if found is None or found[:2] != (weight.data_ptr(), weight._version) or weight.dtype != torch.float32:
        return None
    blocks: Blocks = found[2]
    return blocks
