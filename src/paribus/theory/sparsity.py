"""How sparse a vector is: the l_q / l_p family, Hoyer, Gini, entropies, kurtosis, and the axioms that each obeys.

All measures take |x| over the last axis and ignore its order. n is the number of entries, a = |x|.

    norm_ratio   (mean a^q)^(1/q) / (mean a^p)^(1/p)     in [n^(1/p - 1/q), 1], small = sparse; q = 1, p = 2 by default
    hoyer        (sqrt(n) - l_1/l_2) / (sqrt(n) - 1)     in [0, 1], the same measure turned round and stretched
    gini         1 - 2 sum_i a_(i) (n - i + 1/2) / (n l_1), a ascending       in [0, 1 - 1/n]
    divergence   ln n - H_r(a / l_1), nats               in [0, ln n]; H_r the Renyi entropy, r = 1 that of Shannon
    purity       l_2 / l_1                               in [1/sqrt(n), 1]
    kurtosis     sum a^4 / (sum a^2)^2                   in [1/n, 1]

Identities: ln norm_ratio(1, p) = -(1 - 1/p) divergence of order p; norm_ratio(1, 2) is the cosine of x and its signs if
no entry is 0, and 1 / sqrt(1 + Var a / (E a)^2); hoyer is norm_ratio(1, 2) mapped from [1/sqrt(n), 1] to [1, 0].

The axioms (a >= 0, strict): D1 taking from a larger entry and giving it to a smaller one makes a vector less sparse;
D2 a common factor changes nothing; D3 adding a constant makes it less sparse; D4 concatenation with itself changes
nothing; P1 one entry that is already large enough makes it sparser as it grows; P2 a further zero makes it sparser.
`MEASURES` lists which measure obeys which; the tests hold each yes as a property and each no by a counter-example.

*Departures from the sources.* The post lets every p > q > 0 obey all six; D1 fails when q > 1 or p < 1:
q = 2, p = 4 falls from 0.7636 to 0.7617 between (10, 1, 0) and the more even (10, 1/2, 1/2). Hence kurtosis fails D1 as
well. It is not true that only Gini and one p, q-mean obey all six: norm_ratio does for q <= 1 <= p, q < p, and so does
divergence for every finite order, by the identity above. l_1/l_2 obeys D3, contrary to a published proof.

`weights` are multiplicities: 3 stands for three equal entries, so a Boolean mask leaves entries out and a histogram of
values is measured without being unrolled. A row must have a non-zero entry; of an all-zero row nothing is sparse.

Sources: 苏剑林, archive 9595, 2023; Hurley and Rickard, Comparing measures of sparsity, arXiv:0811.4706, 2009; Hoyer,
Non-negative matrix factorization with sparseness constraints, JMLR 5, 2004.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.core.config import require

Array = NDArray[np.float64]


def norm_ratio(
    x: ArrayLike, q: float = 1.0, p: float = 2.0, weights: ArrayLike | None = None, normalised: bool = True
) -> Array:
    """(l_q / n^(1/q)) / (l_p / n^(1/p)), 0 < q < p <= inf; smaller = sparser. p = inf divides by the maximum.

    Outside q <= 1 <= p it warns, as there a more even vector can be called sparser (D1 fails).

    Without `normalised` the divisor is l_p itself, which makes vectors of unequal length incomparable (D4 fails).
    """
    if 0 < q < p and not q <= 1 <= p:
        text = f"q = {q:g}, p = {p:g}: outside q <= 1 <= p a more even vector can be called sparser (axiom D1 fails)"
        warnings.warn(text, stacklevel=2)
    return _norm_ratio(x, q, p, weights, normalised)


def _norm_ratio(x: ArrayLike, q: float, p: float, weights: ArrayLike | None = None, normalised: bool = True) -> Array:
    require(0 < q < p, f"q = {q!r}, p = {p!r}: expected 0 < q < p")
    a, w, n = _rows(x, weights)
    large = np.ones_like(n) if math.isinf(p) else ((w * a**p).sum(-1) / n) ** (1 / p)
    ratio = ((w * a**q).sum(-1) / n) ** (1 / q) / large
    return np.asarray(ratio if normalised else ratio * n ** (-1 / p))


def hoyer(x: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """(sqrt(n) - l_1/l_2) / (sqrt(n) - 1): 1 one-hot, 0 constant (and for n = 1). Larger = sparser."""
    _, _, n = _rows(x, weights)
    require(bool((n >= 1).all()), f"weights: sum to {n.min():g} in a row, expected at least one entry's worth")
    root = np.sqrt(n)
    return np.asarray(np.where(n > 1, root * (1 - norm_ratio(x, weights=weights)) / np.where(n > 1, root - 1, 1), 0.0))


def gini(x: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Twice the area between the Lorenz curve and the diagonal: 0 constant, 1 - 1/n one-hot. Larger = sparser."""
    share, cumulated = _lorenz(x, weights)
    before = np.concatenate([np.zeros_like(cumulated[..., :1]), cumulated[..., :-1]], axis=-1)
    return np.asarray(1 - (share * (before + cumulated)).sum(-1))


def lorenz(x: ArrayLike, weights: ArrayLike | None = None) -> tuple[Array, Array]:
    """The Lorenz curve: (share of entries, share of the sum that the smallest of them hold), each from 0 to 1."""
    share, cumulated = _lorenz(x, weights)
    zero = np.zeros_like(cumulated[..., :1])
    return np.concatenate([zero, share.cumsum(-1)], -1), np.concatenate([zero, cumulated], -1)


def renyi_entropy(x: ArrayLike, order: float = 1.0, weights: ArrayLike | None = None) -> Array:
    """H_r = ln(sum p^r) / (1 - r) of p = |x| / l_1, nats, in [0, ln n], r >= 0; 1 is Shannon, inf -ln max p."""
    require(order >= 0, f"order = {order!r}: expected an order >= 0")
    a, w, _ = _rows(x, weights)
    p = a / (w * a).sum(-1, keepdims=True)
    log_p = np.log(np.where(p > 0, p, 1.0))
    if order == 1:
        return np.asarray(-(w * p * log_p).sum(-1))
    if math.isinf(order):
        return np.asarray(-np.log(p.max(-1)))
    if abs(order - 1) < 1e-3:
        # sum p^r - 1 is small: keep it as a difference.
        return np.asarray(np.log1p((w * p * np.expm1((order - 1) * log_p)).sum(-1)) / (1 - order))
    top = log_p.max(-1, keepdims=True, where=p > 0, initial=-np.inf)
    powers = np.where(p > 0, np.exp(order * np.minimum(log_p - top, 0.0)), 0.0)
    return np.asarray((np.log((w * powers).sum(-1)) + order * top[..., 0]) / (1 - order))


def divergence(x: ArrayLike, order: float = 1.0, weights: ArrayLike | None = None) -> Array:
    """ln n - H_r: the Renyi divergence of |x| / l_1 from the uniform distribution, in [0, ln n]. Larger = sparser."""
    return np.asarray(np.log(_rows(x, weights)[2]) - renyi_entropy(x, order, weights))


def purity(x: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """l_2 / l_1 = e^(-H_2 / 2), in [1/sqrt(n), 1]. Larger = sparser, among vectors of one length."""
    a, w, _ = _rows(x, weights)
    return np.asarray(np.sqrt((w * a * a).sum(-1)) / (w * a).sum(-1))


def kurtosis(x: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """sum a^4 / (sum a^2)^2, in [1/n, 1]. Larger = sparser, among vectors of one length; blind to small entries."""
    a, w, _ = _rows(x, weights)
    return np.asarray((w * a**4).sum(-1) / (w * a * a).sum(-1) ** 2)


@dataclass(frozen=True)
class Measure:
    """A measure, its direction, and the axioms that it obeys (strictly) on non-negative vectors."""

    name: str
    function: Callable[..., Array]
    sparser: int  # +1: larger is sparser; -1: smaller is
    axioms: frozenset[str]


ALL_SIX = frozenset({"D1", "D2", "D3", "D4", "P1", "P2"})

MEASURES = (
    Measure("l1/l2", norm_ratio, -1, ALL_SIX),
    Measure("l1/max", lambda x, weights=None: norm_ratio(x, 1, math.inf, weights), -1, ALL_SIX - {"D1"}),
    Measure("l1/2/l1", lambda x, weights=None: norm_ratio(x, 0.5, 1, weights), -1, ALL_SIX),
    Measure("l2/l4", lambda x, weights=None: _norm_ratio(x, 2, 4, weights), -1, ALL_SIX - {"D1"}),
    Measure("hoyer", hoyer, 1, ALL_SIX - {"D4"}),
    Measure("gini", gini, 1, ALL_SIX),
    Measure("divergence", divergence, 1, ALL_SIX),
    Measure("entropy", renyi_entropy, -1, ALL_SIX - {"D4", "P2"}),
    Measure("purity", purity, 1, ALL_SIX - {"D4", "P2"}),
    Measure("kurtosis", kurtosis, 1, ALL_SIX - {"D1", "D4", "P2"}),
)


def _lorenz(x: ArrayLike, weights: ArrayLike | None) -> tuple[Array, Array]:
    """(share of each entry in n, cumulated share of the sum), entries ascending."""
    a, w, n = _rows(x, weights)
    order = np.argsort(a, axis=-1)
    a, w = np.take_along_axis(a, order, -1), np.take_along_axis(w, order, -1)
    held = (w * a).cumsum(-1)
    return w / n[..., None], held / held[..., -1:]


def _rows(x: ArrayLike, weights: ArrayLike | None) -> tuple[Array, Array, Array]:
    """(|x| / max |x|, weights, n) in float64: the scaling costs nothing, as all measures are free of scale."""
    values = np.asarray(x, float)
    require(values.ndim > 0 and values.shape[-1] > 0, "x: expected at least one number a row")
    w = np.ones_like(values) if weights is None else np.broadcast_to(np.asarray(weights, float), values.shape)
    require(bool((np.isfinite(w) & (w >= 0)).all()), "weights: expected finite numbers >= 0")
    a = np.where(w > 0, np.abs(values), 0.0)
    require(bool(np.isfinite(a).all()), "x: holds NaN or infinity; leave such entries out by a weight of 0")
    largest = a.max(-1, keepdims=True)
    empty = np.argwhere(largest[..., 0] == 0).tolist()
    require(
        not empty,
        f"x: row {tuple(empty[0]) if empty else ''} has no non-zero entry, so its sparsity is undefined; leave it out",
    )
    return a / largest, np.asarray(w), np.asarray(w.sum(-1))
