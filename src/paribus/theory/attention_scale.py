"""Which factor alpha in softmax(alpha s) gives the largest gradient: closed forms, and how far they can be trusted.

The Jacobian of p = softmax(alpha s) in s has half its entrywise 1-norm equal to

    G(alpha) = alpha (1 - sum_i p_i^2),

0 both for alpha -> 0 and, unless the largest scores tie, for alpha -> infinity. With sum p^2 put at
E[e^(2 alpha s)] / (n E[e^(alpha s)]^2) the maximum is

    s ~ N(0, 1):                 (1 + 2 alpha^2) e^(alpha^2) = n,  so  alpha* = sqrt(W(n sqrt(e) / 2) - 1/2)
    s = cosines in d dimensions:  R (1 + 2 alpha (A(2 alpha) - A(alpha))) = 1,  R = M(2 alpha) / (n M(alpha)^2)

(W Lambert's function; M and A in `sphere`). The published fits are 0.84 sqrt(ln n), and 3.5 ln n for d = 128.

*How far to trust it.* Once alpha > sqrt(ln n / 2) the sum of e^(2 alpha s) is carried by its largest term and its
expectation says little about a draw; alpha* lies beyond that. The mean of G over draws (`mean_gradient`) has no peak at
alpha*: it climbs to a plateau, for cosines too. As alpha grows only draws whose two largest scores nearly tie still
have a gradient, and with f and F the density and the distribution of a score

    E G -> n (n - 1) times the integral of f^2 F^(n-2),  the density at 0 of the gap between the two largest (`plateau`)

which is the frozen phase of the random energy model; for N(0, 1) it grows towards sqrt(2 ln n). For 256 to 1000 such
scores alpha = 1 reaches a third of the plateau, 2.5 some three quarters. The best alpha of a single draw scatters over
a factor of four. A larger Jacobian is not the same as faster training.

Sources: 苏剑林, 从梯度最大化看Attention的Scale操作, 2023-10-22; Derrida, Random-energy model, Phys. Rev. B 24, 1981;
Derrida and Toulouse, J. Physique Lettres 46, 1985.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.special import lambertw
from scipy.stats import beta, norm

from paribus.core.config import require
from paribus.core.seed import generator
from paribus.theory.sphere import check_dimension, cosines, log_mgf, mean_cosine

Array = NDArray[np.float64]


def alpha_star_normal(n: ArrayLike) -> Array:
    """The factor for n scores ~ N(0, 1), elementwise; rises with n, from 0 at n = 1. Multiplies q.k / sqrt(d)."""
    n = _counts(n)
    return np.asarray(np.sqrt(np.maximum(lambertw(n * np.sqrt(np.e) / 2).real - 0.5, 0.0)))


def alpha_star_cosine(n: ArrayLike, d: int) -> Array:
    """The factor for n cosines of random directions in d >= 3 dimensions, elementwise; multiplies cos(q, k)."""
    check_dimension(d, least=3)
    return np.asarray(np.vectorize(lambda one: _cosine_root(float(one), d), otypes=[float])(_counts(n)))


def causal_alpha_star_normal(max_length: int) -> float:
    """One factor for all rows of causal attention: the value at half of the length, as it moves slowly with n."""
    require(max_length > 2, f"max_length = {max_length!r}: expected more than 2, so that half of it leaves a choice")
    return float(alpha_star_normal(max_length / 2))


def approximate_gradient_normal(alpha: ArrayLike, n: float) -> Array:
    """alpha (1 - e^(alpha^2) / n): the objective whose maximum is `alpha_star_normal`. Negative for large alpha."""
    alpha = np.asarray(alpha, float)
    return np.asarray(alpha * (1 - np.exp(alpha**2) / _counts(n)))


def approximate_gradient_cosine(alpha: ArrayLike, n: float, d: int) -> Array:
    """alpha (1 - M(2 alpha) / (n M(alpha)^2)), the objective of `alpha_star_cosine`."""
    alpha = np.asarray(alpha, float)
    return np.asarray(alpha * (1 - np.exp(log_mgf(2 * alpha, d) - 2 * log_mgf(alpha, d)) / _counts(n)))


def gradient(scores: ArrayLike, alpha: ArrayLike) -> Array:
    """G(alpha) = alpha (1 - sum p^2) with p = softmax(alpha scores) over the last axis, exactly. alpha broadcasts."""
    scores = np.asarray(scores, float)
    require(scores.ndim > 0 and scores.shape[-1] > 0, "scores: expected at least one number a row")
    require(bool(np.isfinite(scores).all()), "scores: expected finite numbers")
    alpha = np.asarray(alpha, float)
    weights = np.exp(alpha[..., None] * (scores - scores.max(-1, keepdims=True)))
    return np.asarray(alpha * (1 - (weights**2).sum(-1) / weights.sum(-1) ** 2))


def mean_gradient(alphas: ArrayLike, n: int, d: int | None = None, draws: int = 150, seed: int = 0) -> Array:
    """G at each alpha, averaged over draws of n scores: N(0, 1), or cosines in d dimensions. One set for all alphas."""
    scores = _draw(n, d, draws, seed)
    return np.array([gradient(scores, float(alpha)).mean() for alpha in np.atleast_1d(np.asarray(alphas, float))])


def best_alphas(n: int, d: int | None = None, draws: int = 150, seed: int = 0) -> Array:
    """The alpha that maximises G in each draw, shape (draws,). For N(0, 1) they scatter over a factor of four."""
    grid = np.geomspace(0.1, 1e3, 400) * (1.0 if d is None else np.sqrt(d))
    found = []
    for row in _draw(n, d, draws, seed):
        k = int(np.argmax(gradient(row, grid)))
        bounds = grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)]
        found.append(minimize_scalar(lambda a, row=row: -float(gradient(row, a)), bounds=bounds, method="bounded").x)
    return np.array(found)


def plateau(n: int, d: int | None = None) -> float:
    """The limit of the mean of G for large alpha: the density at 0 of the gap between the two largest of n scores.

    With y = F^(n-1) the integral is n times that of f over y in (0, 1). At n = 256 alpha = 7 is 3 % short.
    """
    require(isinstance(n, int) and n >= 2, f"n = {n!r}: expected an integer of at least 2 scores")
    if d is not None:
        check_dimension(d, least=3)
    score = norm() if d is None else beta((d - 1) / 2, (d - 1) / 2, loc=-1, scale=2)

    def density(y: float) -> float:
        return float(score.pdf(score.isf(-np.expm1(np.log(y) / (n - 1)))))

    return float(n * quad(density, 0, 1, limit=200, epsrel=1e-8)[0])


def _cosine_root(n: float, d: int) -> float:
    def excess(alpha: float) -> float:
        low, high = np.array([alpha, 2 * alpha])
        log_ratio = log_mgf(high, d) - 2 * log_mgf(low, d) - np.log(n)
        return float(log_ratio + np.log1p(2 * alpha * (mean_cosine(high, d) - mean_cosine(low, d))))

    high = 1.0
    while excess(high) < 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-12, rtol=1e-12))


def _draw(n: int, d: int | None, draws: int, seed: int) -> Array:
    require(isinstance(n, int) and n >= 2, f"n = {n!r}: expected an integer of at least 2 scores")
    require(isinstance(draws, int) and draws >= 1, f"draws = {draws!r}: expected at least 1")
    rng = generator(seed, "attention-scale", n, d or 0)
    return rng.standard_normal((draws, n)) if d is None else cosines(rng, d, (draws, n))


def _counts(n: ArrayLike) -> Array:
    n = np.asarray(n, float)
    require(
        bool((np.isfinite(n) & (n > 1)).all()), f"n = {n}: expected more than 1 key, one has no gradient to maximise"
    )
    return n
