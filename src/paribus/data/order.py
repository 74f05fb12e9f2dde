"""The order in which a run of bytes is read: random, complete, and known for every step without a history."""

import numpy as np
import numpy.typing as npt

from paribus.core.config import require
from paribus.core.errors import CorpusError
from paribus.core.seed import generator


class BatchOrder:
    """Where the spans of a batch begin, as a pure function of (seed, step).

    The bytes are cut into spans that do not overlap, from a phase drawn anew in every epoch, so that the borders move
    and every byte is read in time; an epoch gives each of its spans exactly once, in an order drawn anew. Batches run
    on over the end of an epoch. Only the current epoch's order is kept: 8 bytes a span.

    n_bytes, span: bytes, n_bytes >= span. batch: spans per step.
    Raises CorpusError when the bytes do not hold one span.
    """

    def __init__(self, n_bytes: int, span: int, batch: int, seed: int) -> None:
        require(span >= 1 and batch >= 1, f"span {span} and batch {batch} must be at least 1")
        if n_bytes < span:
            raise CorpusError(
                f"the text has {n_bytes} bytes, and one span needs {span}: take a larger corpus or a smaller length"
            )
        self.span, self.batch, self.seed = span, batch, seed
        # So many that the phase has at least `span` different values: every border is possible.
        self.n_spans = max(1, (n_bytes - span + 1) // span)
        self._phases = n_bytes - self.n_spans * span + 1
        self._epoch, self._starts = -1, np.empty(0, dtype=np.int64)

    def starts(self, step: int) -> npt.NDArray[np.int64]:
        """Where the spans of this step begin, int64 (batch,), step >= 0."""
        require(step >= 0, f"step {step} must be at least 0")
        epochs, places = np.divmod(np.arange(step * self.batch, (step + 1) * self.batch), self.n_spans)
        starts = np.empty(self.batch, dtype=np.int64)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            here = epochs == epoch
            starts[here] = self._of_epoch(epoch)[places[here]]
        return starts

    def _of_epoch(self, epoch: int) -> npt.NDArray[np.int64]:
        if epoch != self._epoch:
            random = generator(self.seed, "order", epoch)
            phase = int(random.integers(self._phases))
            self._epoch, self._starts = epoch, phase + self.span * random.permutation(self.n_spans)
        return self._starts
