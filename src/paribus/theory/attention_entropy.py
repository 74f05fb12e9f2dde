"""The entropy of an attention row, H = -sum_j p_j ln p_j with p = softmax(lambda s): how it grows with the keys n.

    dH/dlambda = -lambda Var_p(s) <= 0,     H >= ln n - lambda (max s - mean s)   (exact, both)
    keys uniform on the sphere, |q| = |k| = sqrt(d), x = lambda d, n -> infinity:   H = ln n + log M(x) - x A(x)
    scores ~ N(0, sigma^2), n -> infinity:                                          H = ln n - (lambda sigma)^2 / 2

(M, A in `sphere`.) A row grows as ln n under a constant lambda. lambda proportional to ln n keeps H steady where the
gap max s - mean s is bounded in n. For independent Gaussian scores, whose gap grows as sqrt(2 ln n), lambda = c
sqrt(ln n) takes a fixed part off the growth, no more; the limit asks for lambda sigma = sqrt(2 (ln n - H0)), which
holds H within a nat from 64 to 32k keys. At the usual 1/sqrt(d) the factor ln n / ln 512 slows the growth on random
keys and does not stop it.
The published 0.24 in H = ln n - 0.24 lambda d is -ln((sqrt(5) - 1) / 2) / 2, the Laplace value at lambda = 1 alone; for
small lambda the loss is lambda^2 d / 2. Entropies are in nats. The limits n -> infinity fail, and turn negative, once
single keys carry the row.

Sources: 苏剑林, 从熵不变性看Attention的Scale操作, 2021-12-21; 熵不变性Softmax的一个快速推导, 2022-04-11. The sphere law
is the entropy of a von Mises-Fisher distribution.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from paribus.core.config import require
from paribus.core.seed import generator
from paribus.theory.sphere import check_dimension, cosines, log_mgf, mean_cosine

Array = NDArray[np.float64]

LAPLACE_COEFFICIENT = -0.5 * math.log((math.sqrt(5) - 1) / 2)  # 0.2406, published as 0.24


def entropy(scores: ArrayLike, scale: ArrayLike = 1.0) -> Array:
    """H of softmax(scale * scores) over the last axis, nats, in [0, ln n]. scale broadcasts against the rows."""
    z = np.asarray(scale, float)[..., None] * _scores(scores)
    return np.asarray(np.maximum(_entropy(z), 0.0))


def lower_bound(scores: ArrayLike, scale: float) -> Array:
    """ln n - scale (max - mean) <= H for scale >= 0, with equality at scale 0. May be negative.

    log mean exp >= the mean and the weighted mean <= the maximum: both steps of the short derivation lower H.
    """
    scores = _scores(scores)
    require(scale >= 0, f"scale = {scale!r}: expected a scale >= 0")
    return np.asarray(math.log(scores.shape[-1]) - scale * (scores.max(-1) - scores.mean(-1)))


def on_sphere(n: ArrayLike, d: int, scale: ArrayLike) -> Array:
    """H for n keys uniform on the sphere of radius sqrt(d), query of that length, in the limit of many keys."""
    n, scale = _keys(n), np.asarray(scale, float)
    require(bool((scale >= 0).all()), f"scale = {scale}: expected scales >= 0")
    x = scale * d
    return np.asarray(np.log(n) + log_mgf(x, d) - x * mean_cosine(x, d))


def of_gaussian_scores(n: ArrayLike, sigma: ArrayLike) -> Array:
    """ln n - sigma^2 / 2: n scores ~ N(0, sigma^2), scale included, in the limit of many keys; for sigma^2 < 2 ln n."""
    return np.asarray(np.log(_keys(n)) - np.asarray(sigma, float) ** 2 / 2)


def laplace(n: ArrayLike, d: int, scale: ArrayLike = 1.0) -> Array:
    """ln n - 0.2406 scale d, the published approximation; near the truth (`on_sphere`) only around scale = 1."""
    check_dimension(d)
    return np.asarray(np.log(_keys(n)) - LAPLACE_COEFFICIENT * np.asarray(scale, float) * d)


def measured_on_sphere(n: int, d: int, scale: float, draws: int = 64, seed: int = 0) -> float:
    """Mean H over draws of n keys on the sphere: the oracle of `on_sphere`, right for few keys too."""
    _keys(n)
    rng = generator(seed, "entropy-on-sphere", n, d)
    return float(entropy(d * cosines(rng, d, (draws, n)), scale).mean())


def measured_gaussian(n: int, sigma: float, draws: int = 64, seed: int = 0) -> float:
    """Mean H over draws of n scores ~ N(0, sigma^2)."""
    _keys(n)
    rng = generator(seed, "entropy-gaussian", n)
    return float(entropy(rng.standard_normal((draws, n)), sigma).mean())


def factor(law: str, n: ArrayLike, base: float = 512) -> Array:
    """The multiplier of the scale at n keys, 1 at n = base: "constant", "log" or "sqrt_log" (of n, in that base)."""
    n = _keys(n)
    require(base > 1, f"base = {base!r}: expected a base > 1, the length at which the factor is 1")
    laws: dict[str, Callable[[Array], Array]] = {"constant": np.ones_like, "log": lambda r: r, "sqrt_log": np.sqrt}
    require(law in laws, f"law = {law!r}: expected one of {', '.join(laws)}")
    return np.asarray(laws[law](np.log(n) / math.log(base)))


def _entropy(z: Array) -> Array:
    z = z - z.max(-1, keepdims=True)
    total = logsumexp(z, axis=-1, keepdims=True)
    return np.asarray(total[..., 0] - (np.exp(z - total) * z).sum(-1))


def _scores(scores: ArrayLike) -> Array:
    scores = np.asarray(scores, float)
    require(scores.ndim > 0 and scores.shape[-1] > 0, "scores: expected at least one number a row")
    require(bool(np.isfinite(scores).all()), "scores: expected finite numbers; leave masked keys out of the row")
    return scores


def _keys(n: ArrayLike) -> Array:
    n = np.asarray(n, float)
    require(bool((np.isfinite(n) & (n >= 1)).all()), f"n = {n}: expected at least 1 key")
    return n
