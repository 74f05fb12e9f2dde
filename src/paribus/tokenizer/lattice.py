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

    def _last(self, begin: int, e: int, alpha: float, log_z: Sequence[float]) -> tuple[list[float], float]:
        """ln Z[start] p^alpha of each piece that ends at e, less the largest of them, and that largest.

        Set against the largest, shares of the pieces sum to one however large the logarithms are.
        """
        terms = [log_z[start - begin] + alpha * score for start, _, score in self.edges[e - 1]]
        high = max(terms)
        return [term - high for term in terms], high

    def _forward(self, begin: int, end: int, alpha: float) -> list[float]:
        log_z = [0.0]
        for e in range(begin + 1, end + 1):
            terms, high = self._last(begin, e, alpha, log_z)
            log_z.append(high + math.log(sum(map(math.exp, terms))))
        return log_z

    def marginals(self, alpha: float) -> list[Marginal]:
        """P(piece at a place), by end and from the longest; over each byte the probabilities sum to one.

        From the end: P(piece) = P(a piece ends at its end) Z[start] p^alpha / Z[end], and P(a piece ends at e) is the
        sum over the pieces that begin there.
        """
        result = []
        for begin, end in self._chunks():
            log_z = self._forward(begin, end, alpha)
            reached = [0.0] * (end - begin) + [1.0]
            here: list[Marginal] = []
            for e in range(end, begin, -1):
                terms, _ = self._last(begin, e, alpha, log_z)
                total = sum(map(math.exp, terms))
                for (start, i, _), term in zip(reversed(self.edges[e - 1]), reversed(terms)):
                    p = reached[e - begin] * (math.exp(term) / total)
                    reached[start - begin] += p
                    here.append(Marginal(start, e, i, p))
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
                terms, _ = self._last(begin, e, alpha, log_z)
                log_total = math.log(sum(map(math.exp, terms)))
                for (start, _, _), term in zip(self.edges[e - 1], terms):
                    log_p = term - log_total
                    h += math.exp(log_p) * (entropy[start - begin] - log_p)
                entropy.append(h)
            total += entropy[-1]
        return total
