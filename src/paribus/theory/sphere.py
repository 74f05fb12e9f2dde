"""The cosine s between a fixed direction and a random one in d dimensions: density proportional to (1 - s^2)^((d-3)/2).

    M(x) = E e^(x s) = Gamma(nu + 1) (2/x)^nu I_nu(x),  nu = d/2 - 1,     (log M)' = A(x) = I_(nu+1)(x) / I_nu(x)

A(x) is the mean cosine once directions are weighted by e^(x s) (von Mises-Fisher). Everything is in logarithms, as I_nu
itself under- and overflows from d of a few hundred.

Source: Mardia and Jupp, Directional Statistics, 2000, section 9.3; DLMF 10.25.2 for the series.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, ive, logsumexp

from paribus.core.config import require

Array = NDArray[np.float64]


def log_mgf(x: ArrayLike, d: int) -> Array:
    """log E e^(x s), elementwise, x >= 0. Range [0, x); accurate to about 1e-10 relative for d >= 2 and x to 1e6."""
    return _evaluate(x, d)[0]


def mean_cosine(x: ArrayLike, d: int) -> Array:
    """A(x) = I_(d/2)(x) / I_(d/2-1)(x), the derivative of `log_mgf`. Range [0, 1), x / d for small x."""
    return _evaluate(x, d)[1]


def cosines(rng: np.random.Generator, d: int, size: tuple[int, ...]) -> Array:
    """Random cosines of the distribution, without drawing d coordinates: (1 + s) / 2 is Beta((d-1)/2, (d-1)/2)."""
    check_dimension(d)
    return np.asarray(2 * rng.beta((d - 1) / 2, (d - 1) / 2, size) - 1)


def check_dimension(d: Any, least: int = 2) -> None:
    require(
        isinstance(d, int | np.integer) and not isinstance(d, bool) and bool(d >= least),
        f"d = {d!r}: expected an integer dimension of at least {least}",
    )


def _evaluate(x: ArrayLike, d: int) -> tuple[Array, Array]:
    check_dimension(d)
    x = np.asarray(x, float)
    require(bool((np.isfinite(x) & (x >= 0)).all()), "x: expected finite values >= 0")
    nu = d / 2 - 1
    scaled, above = ive(nu, x), ive(nu + 1, x)
    direct = (scaled > 1e-280) & (above > 1e-280) & (x > 1e-3)
    safe = np.where(direct, x, 1.0)
    value = np.where(direct, gammaln(nu + 1) + nu * np.log(2 / safe) + np.log(np.where(direct, scaled, 1.0)) + x, 0.0)
    slope = np.where(direct, above / np.where(direct, scaled, 1.0), 0.0)
    for position in np.argwhere(~direct):
        one = tuple(position)
        value[one], slope[one] = _series(float(x[one]), nu)
    return value, slope


def _series(x: float, nu: float) -> tuple[float, float]:
    """sum_k (x/2)^(2k) / (k! (nu+1)_k): all terms are positive, and those that count stand around the largest."""
    if x == 0:
        return 0.0, 0.0
    peak = (np.sqrt(nu * nu + x * x) - nu) / 2
    width = 12 * np.sqrt(peak + 1) + 30
    k = np.arange(max(0, int(peak - width)), int(peak + width) + 1, dtype=float)
    terms = 2 * k * np.log(x / 2) - gammaln(k + 1) - (gammaln(nu + 1 + k) - gammaln(nu + 1))
    total = float(logsumexp(terms))
    return total, float(2 * (k * np.exp(terms - total)).sum() / x)
