"""What a chunked gated unit remembers: the rows of one chunk of each sequence, and one sum over its earlier chunks."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

Rows = list[int]  # the numbers of some sequences of the batch


class OneChunk:
    """rows: [k, k', V] of the tokens of the chunk that is being filled; total: sum of k' V^T over earlier chunks.

    tokens: how many each sequence has, padding left out. length: how many places were read, padding counted.
    """

    def __init__(
        self, batch: int, chunk: int, key_dim: int, value_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.rows = torch.zeros(batch, chunk, 2 * key_dim + value_dim, dtype=dtype, device=device)
        wide = torch.float32 if dtype.itemsize < 4 else dtype
        self.total = torch.zeros(batch, key_dim, value_dim, dtype=wide, device=device)
        self.tokens = [0] * batch
        self.length = 0

    @property
    def batch(self) -> int:
        return len(self.rows)

    @property
    def chunk(self) -> int:
        return self.rows.shape[1]

    def parts(self, new: Sequence[int]) -> Iterator[tuple[slice, Rows]]:
        """Cut the next tokens, `new` of each sequence, so that in each part a sequence stays in one chunk.

        (which of the next tokens, the sequences that have them): all tokens of the part or none.
        """
        cuts = {0, *new}
        for before, n in zip(self.tokens, new, strict=True):
            cuts.update(range(self.chunk - before % self.chunk, n, self.chunk))
        for start, stop in pairwise(sorted(cuts)):
            yield slice(start, stop), [row for row, n in enumerate(new) if n >= stop]

    def take(self, new: Tensor, who: Rows) -> tuple[Tensor, Tensor | int, Tensor | None]:
        """Store the next tokens of some sequences, new (len(who), n, width), which stay in their chunk.

        The rows of their chunks (len(who), most that one holds, width); how many of them came before, (len(who), 1, 1)
        or one number for all; and the mean of k' V^T over the tokens of earlier chunks, None where none has any.
        """
        held = [self.tokens[row] % self.chunk for row in who]
        end, index, new = max(held) + new.shape[1], self._index(who), new.to(self.rows.dtype)
        before = _each(held, new.device)
        if isinstance(before, int):
            self.rows[index, before:end] = new
        else:
            places = before[..., 0] + torch.arange(new.shape[1], device=new.device)
            self.rows[torch.tensor(who, device=new.device)[:, None], places] = new
        seen = [self.tokens[row] - one for row, one in zip(who, held, strict=True)]
        if not any(seen):
            return self.rows[index, :end], before, None
        return self.rows[index, :end], before, self.total[index] / _each([max(1, one) for one in seen], new.device)

    def advance(self, n: int, who: Rows, product: Callable[[Tensor], Tensor]) -> None:
        """Count n tokens of these sequences; a chunk that is full with them goes into the sum, by its `product`."""
        for row in who:
            self.tokens[row] += n
        full = [row for row in who if self.tokens[row] % self.chunk == 0]
        if full:
            index = self._index(full)
            self.total[index] += product(self.rows[index])

    def nbytes(self) -> int:
        return self.rows.numel() * self.rows.element_size() + self.total.numel() * self.total.element_size()

    def _index(self, who: Rows) -> slice | Tensor:
        return slice(None) if len(who) == self.batch else torch.tensor(who, device=self.rows.device)


def _each(numbers: list[int], device: torch.device) -> Tensor | int:
    """(len(numbers), 1, 1), or the number where all are the same: that needs no copy to the device."""
    return numbers[0] if len(set(numbers)) == 1 else torch.tensor(numbers, device=device)[:, None, None]
