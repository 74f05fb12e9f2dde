"""All segmentations of a text at once, in plain Python: the specification of the native core.

A segmentation has the weight prod p(piece)^alpha; Z sums the weights. Everything is linear in the length of the text
and in natural logarithms; the chunks of a text are independent.
"""

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Edges = Sequence[Sequence[tuple[int, int, float]]]


class Marginal(NamedTuple):
    """A piece at a place of the text, and the probability that a drawn segmentation has it there."""

    start: int
    end: int
    id: int
    probability: float


class Lattice:
    """The pieces (start, id, ln p) that end at each byte, the longest first; edges[e - 1] belongs to end e.

    begins: where chunks begin, so that scores are added from there.
    """

    def __init__(self, edges: Edges, begins: Sequence[int]) -> None:
        self.edges = edges
        self.bounds = [*begins, len(edges)]

    @classmethod
    def of(
        cls,
        data: bytes,
        ends: npt.NDArray[np.uint64],
        ids: npt.NDArray[np.uint32],
        pieces: Sequence[bytes],
        scores: npt.NDArray[np.float64],
    ) -> "Lattice":
        edges: list[list[tuple[int, int, float]]] = [[] for _ in range(len(data))]
        for end, i in zip(ends.tolist(), ids.tolist()):
            edges[end - 1].append((end - len(pieces[i]), i, float(scores[i])))
        line = 0x0A
        begins = [p for p in range(len(data)) if p == 0 or (data[p - 1] == line and data[p] != line)]
        return cls(edges, begins)

    def _chunks(self) -> list[tuple[int, int]]:
        return list(zip(self.bounds, self.bounds[1:]))

    def nbest(self, n: int) -> list[tuple[float, list[int]]]:
        """(ln p, ids) of the n most probable segmentations, the best first; among equals as `encode` chooses."""
        result: list[tuple[float, list[int]]] = [(0.0, [])]
        for begin, end in self._chunks():
            chunk = self._nbest_chunk(begin, end, n)
            pairs = [(-(a + b), i, j) for i, (a, _) in enumerate(result) for j, (b, _) in enumerate(chunk)]
            result = [(-s, result[i][1] + chunk[j][1]) for s, i, j in heapq.nsmallest(n, pairs)]
        return result

    def _nbest_chunk(self, begin: int, end: int, n: int) -> list[tuple[float, list[int]]]:
        # hypotheses[e]: (score, start, id, rank at the start), the best first
        hypotheses: list[list[tuple[float, int, int, int]]] = [[(0.0, -1, -1, 0)]]
        for e in range(begin + 1, end + 1):
            found = [
                (-(before[0] + score), order, rank, start, i)
                for order, (start, i, score) in enumerate(self.edges[e - 1])
                for rank, before in enumerate(hypotheses[start - begin])
            ]
            hypotheses.append([(-s, start, i, rank) for s, _, rank, start, i in heapq.nsmallest(n, found)])
        paths = []
        for last in hypotheses[-1]:
            ids, node = [], last
            while node[1] >= 0:
                ids.append(node[2])
                node = hypotheses[node[1] - begin][node[3]]
            paths.append((last[0], ids[::-1]))
        return paths

    def _forward(self, begin: int, end: int, alpha: float) -> list[float]:
        log_z = [0.0]
        for e in range(begin + 1, end + 1):
            log_z.append(_log_sum([log_z[s - begin] + alpha * score for s, _, score in self.edges[e - 1]]))
        return log_z

    def marginals(self, alpha: float) -> list[Marginal]:
        """P(piece at a place), by end and from the longest; over each byte the probabilities sum to one."""
        result = []
        for begin, end in self._chunks():
            forward = self._forward(begin, end, alpha)
            backward = [-math.inf] * (end - begin) + [0.0]
            here: list[Marginal] = []
            for e in range(end, begin, -1):
                for start, i, score in reversed(self.edges[e - 1]):
                    through = alpha * score + backward[e - begin]
                    backward[start - begin] = _log_sum([backward[start - begin], through])
                    here.append(Marginal(start, e, i, math.exp(forward[start - begin] + through - forward[-1])))
            result += here[::-1]
        return result

    def entropy(self, alpha: float) -> float:
        """-sum P ln P over the segmentations, in nats: H(e) = sum over the last piece of P (H(start) - ln P)."""
        total = 0.0
        for begin, end in self._chunks():
            log_z = self._forward(begin, end, alpha)
            entropy = [0.0]
            for e in range(begin + 1, end + 1):
                h = 0.0
                for start, _, score in self.edges[e - 1]:
                    log_p = log_z[start - begin] + alpha * score - log_z[e - begin]
                    h += math.exp(log_p) * (entropy[start - begin] - log_p)
                entropy.append(h)
            total += entropy[-1]
        return total


def _log_sum(terms: Sequence[float]) -> float:
    high = max(terms)
    return high if high == -math.inf else high + math.log(sum(math.exp(term - high) for term in terms))
