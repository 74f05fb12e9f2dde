"""How large RoPE's base must be for a length: the base bound, its islands, and the gap-free band.

Pair i of a head turns by m theta_i at distance m, theta_i = b^(-2i/d). For a query with independent components of
variance s^2, the expected advantage of a similar key over a random one at distance m is 2 s^2 f_b(m), with

    f_b(m) = sum_i cos(m theta_i),  i = 0 .. d/2 - 1  (a pair that is not rotated adds 1).

A base b is *feasible* for a length L when f_b(m) >= 0 for every m = 0 .. L-1, and the bound is the smallest such b.
Feasibility is not monotone in b: feasible bases come in islands, so bisection is wrong, and "b is above the bound"
proves nothing about b. Three answers are given here: `lower_bound` (the left end of the first island), `islands`, and
`gap_free` (the base from which on every base is feasible). `is_feasible` judges the base that is used.

No grid of bases is tried. With u = ln b, x_i = 2i/d and phi_i = m e^(-x_i u),

    df/du = sum_i x_i phi_i sin phi_i,   |d2f/du2| <= K(u) = sum_i x_i^2 phi_i sqrt(1 + phi_i^2), falling in u,

so f(m) < 0 at u proves that no base is feasible before u + 2|f| / (f' + sqrt(f'^2 + 2 K |f|)). The search jumps there,
and steps over no island wider than a relative TOLERANCE. A look at one base is a matrix product, because
cos((p + q) theta) = cos p theta cos q theta - sin p theta sin q theta.

Values of f above -2^-51 L d/2, a bound on the rounding of its angles (3e-11 at L = 1k, d = 128), count as not negative.
The argument averages over random queries; trained queries and keys are not isotropic, so take it as a guide.

Sources: Men et al., Base of RoPE Bounds Context Length, arXiv:2405.14591, 2024; 苏剑林, Transformer升级之路：18、RoPE的
底数选择原则, 2024-05-29.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.core.config import require

Array = NDArray[np.float64]

TOLERANCE = 1e-10  # in ln b: the narrowest island that the search is sure to see
FIRST_ZERO_OF_CI = 0.6165054856207162  # of the cosine integral


def exponents(head_dim: int, rotary_fraction: float = 1.0) -> Array:
    """x_i with theta_i = b^(-x_i), for the rotated pairs: 2i / (d rotary_fraction). Range [0, 1)."""
    _whole("head_dim", head_dim, 2)
    require(head_dim % 2 == 0, f"head_dim = {head_dim}: expected an even number, as pairs are rotated")
    rotated = round(head_dim * rotary_fraction) if 0 < rotary_fraction <= 1 else 0
    require(
        rotated >= 2 and rotated % 2 == 0 and abs(rotated - head_dim * rotary_fraction) < 1e-6,
        f"rotary_fraction = {rotary_fraction!r} of head_dim = {head_dim}: expected a fraction in (0, 1] that leaves "
        "an even number of rotated dimensions",
    )
    return 2.0 * np.arange(rotated // 2) / rotated


def inverse_frequencies(base: float, head_dim: int, rotary_fraction: float = 1.0) -> Array:
    """theta_i of all head_dim / 2 pairs, radians per position; a pair that is not rotated has 0."""
    x = exponents(head_dim, rotary_fraction)
    require(1 < base < math.inf, f"base = {base!r}: expected a finite base > 1")
    theta = np.zeros(head_dim // 2)
    theta[: x.size] = np.exp(-x * math.log(base))
    return theta


def advantage(distances: ArrayLike, frequencies: ArrayLike) -> Array:
    """f(m) = sum_i cos(m theta_i) at each distance m, straight from the definition. Range [-d/2, d/2]."""
    return np.asarray(np.cos(np.multiply.outer(np.asarray(distances, float), _frequencies(frequencies))).sum(-1))


def first_violation(frequencies: ArrayLike, length: int) -> int | None:
    """The smallest distance m < length with f(m) < 0, or None. Takes any frequencies: those of PI, NTK, YaRN too."""
    theta = _frequencies(frequencies)
    _whole("length", length, 1)
    slack = _slack(length, theta.size)
    for start, values in _scan(theta, length):
        below = np.flatnonzero(values < -slack)
        if below.size:
            return start + int(below[0])
    return None


def is_feasible(base: float, length: int, head_dim: int, rotary_fraction: float = 1.0) -> bool:
    """Is f_b(m) >= 0 for every distance m < length?"""
    return first_violation(inverse_frequencies(base, head_dim, rotary_fraction), length) is None


def max_length(base: float, head_dim: int, rotary_fraction: float = 1.0, limit: int = 1 << 22) -> int:
    """The longest length for which this base is feasible; `limit` if it is feasible that far."""
    return first_violation(inverse_frequencies(base, head_dim, rotary_fraction), limit) or limit


def lower_bound(length: int, head_dim: int, rotary_fraction: float = 1.0, above: float = 1.0) -> float:
    """The smallest feasible base >= above: the left end of an island, right to a relative 1e-9.

    Where every base will do (lengths 1 and 2; half of the pairs or more not rotated) that is `above` itself, 1.0 by
    default, the end of the search. Where none will it is inf: one pair alone has f(2) = cos 2 < 0 whatever the base.
    """
    problem = _Problem.of(length, head_dim, rotary_fraction)
    require(1 <= above < math.inf, f"above = {above!r}: expected a finite base >= 1")
    if problem.free:
        return float(above)
    return math.exp(problem.next_feasible(math.log(above))) if problem.solvable else math.inf


def lower_bound_within(effort: float, length: int, head_dim: int) -> tuple[float, bool]:
    """(the bound, True); or (a base below which none is feasible, False) where the bound would take more effort.

    effort: how many cosines may be summed, 1e9 in about a second. The answer does not depend on the machine.
    """
    problem = _Problem.of(length, head_dim, 1.0)
    if problem.free or not problem.solvable:
        return lower_bound(length, head_dim), True
    left = _Effort(effort)
    base = math.exp(problem.next_feasible(0.0, effort=left))
    return base, not left.spent


def lower_bounds(lengths: Iterable[int], head_dim: int, rotary_fraction: float = 1.0) -> dict[int, float]:
    """The bound of each length, in one sweep: a longer length never has a smaller bound."""
    found, bound = {}, 1.0
    for length in sorted(lengths):
        if math.isfinite(bound):
            bound = lower_bound(length, head_dim, rotary_fraction, above=bound)
        found[length] = bound
    return found


def islands(
    length: int, head_dim: int, low: float, high: float, rotary_fraction: float = 1.0
) -> list[tuple[float, float]]:
    """The intervals of feasible bases in [low, high], ascending; between them every base is proved infeasible."""
    problem = _Problem.of(length, head_dim, rotary_fraction)
    require(1 <= low < high < math.inf, f"low = {low!r}, high = {high!r}: expected 1 <= low < high < inf")
    if problem.free:
        return [(float(low), float(high))]
    found: list[tuple[float, float]] = []
    u, end = math.log(low), math.log(high)
    while problem.solvable and (left := problem.next_feasible(u, end)) < end:
        u = left
        while u < end and (run := problem.feasible_run(u)) > TOLERANCE:
            u += run
        found.append((math.exp(left), min(float(high), math.exp(u))))
        u += TOLERANCE
    return found


def gap_free(length: int, head_dim: int, rotary_fraction: float = 1.0) -> float:
    """The base from which on every base is feasible: the upper end of the last gap, right to a relative 1e-9.

    1.0 where every base will do, inf where none will. Cost grows as length^2: for d = 128 a second at 32k, ten at
    128k, minutes at 1M.
    """
    problem = _Problem.of(length, head_dim, rotary_fraction)
    if problem.free:
        return 1.0
    return math.exp(problem.last_gap()) if problem.solvable else math.inf


def many_pairs_limit(length: int) -> float:
    """length / 0.6165: the bound as d grows, where f / (d/2) = (Ci(m) - Ci(m/b)) / ln b and Ci first meets zero."""
    _whole("length", length, 1)
    return length / FIRST_ZERO_OF_CI


@dataclass
class _Effort:
    left: float = math.inf

    @property
    def spent(self) -> bool:
        return self.left < 0


@dataclass(frozen=True)
class _Problem:
    """f as a function of u = ln b, for all distances below a length."""

    x: Array  # (rotated pairs,)
    unrotated: int
    length: int

    @classmethod
    def of(cls, length: int, head_dim: int, rotary_fraction: float) -> "_Problem":
        _whole("length", length, 1)
        x = exponents(head_dim, rotary_fraction)
        return cls(x, head_dim // 2 - x.size, length)

    @property
    def free(self) -> bool:
        """Does every base do? At distance 1 all cosines are positive; a pair that stands still makes up for one."""
        return self.length <= 2 or self.unrotated >= self.x.size

    @property
    def solvable(self) -> bool:
        return self.x.size + self.unrotated > 1

    @property
    def slack(self) -> float:
        return _slack(self.length, self.x.size)

    def scan(self, u: float, first: int = 0) -> Iterator[tuple[int, Array]]:
        for start, values in _scan(np.exp(-self.x * u), self.length, first):
            yield start, values + self.unrotated

    def look(self, m: Array, u: Array | float) -> tuple[Array, Array, Array]:
        """f, df/du and the bound K on |d2f/du2|, at distances m (n,) and u (n,) or one u for all."""
        phi = m[:, None] * np.exp(-np.multiply.outer(u, self.x))
        f = np.cos(phi).sum(1) + self.unrotated
        slope = (self.x * phi * np.sin(phi)).sum(1)
        return f, slope, (self.x**2 * phi * np.sqrt(1 + phi**2)).sum(1)

    def next_feasible(self, u: float, end: float = math.inf, effort: _Effort | None = None) -> float:
        """The first feasible u' >= u, or some u' >= end if there is none before.

        Where the effort is spent before, a u' below which there is none.
        """
        effort = effort or _Effort()
        witnesses = np.array([2.0])
        while u < end:
            # The distances that proved the last jump often prove the next; only when they are spent is all looked at.
            while (jump := self.infeasible_run(u, witnesses)) > 0:
                u += max(TOLERANCE, jump)
            found = self.violators(u, int(witnesses.min()), effort)
            if found is None:
                return u
            witnesses = found
            u += max(TOLERANCE, self.infeasible_run(u, witnesses))
        return u

    def infeasible_run(self, u: float, m: Array) -> float:
        """A step over which no base is feasible, as these distances prove; 0 if none is negative at u."""
        f, slope, curvature = self.look(m, u)
        return float(_reach(np.maximum(-f - self.slack, 0.0), slope, curvature).max())

    def violators(self, u: float, first: int, effort: _Effort) -> Array | None:
        """Some distances at which f is negative, looked for from `first` on, or None if u is feasible."""
        for start, values in self.scan(u, first):
            effort.left -= (values.size + 4096) * self.x.size  # a look costs about as much as that many cosines
            if effort.spent:
                return None
            below = np.flatnonzero(values < -self.slack)
            if below.size:
                # K grows as m^2, so deep violations at small distances jump farthest.
                return (below[np.argsort(values[below] / (below + start))[:24]] + start).astype(float)
        return None

    def feasible_run(self, u: float) -> float:
        """A step over which every base is feasible, given that u is."""
        values = np.concatenate([values for _, values in self.scan(u)]) + self.slack
        m = np.arange(self.length, dtype=float)
        weakest = np.argpartition(values[1:] / m[1:], min(64, self.length - 2))[:64] + 1
        f, slope, curvature = self.look(m[weakest], u)
        run = float(_reach(f + self.slack, -slope, curvature).min(initial=math.inf))
        # The other distances only need their plain bound, |df/du| <= m sum_i x_i theta_i.
        others = np.delete(values[1:] / m[1:], weakest - 1)
        lipschitz = float((self.x * np.exp(-self.x * u)).sum())
        return min(run, float(others.min(initial=math.inf)) / lipschitz)

    def ceiling(self) -> float:
        """A u above which no base fails: cos phi >= cos(min(phi, pi)), and phi falls in u."""
        last = self.length - 1
        if self.x.size == 2 and not self.unrotated:
            m = np.arange(1.0, self.length)
            return float(2 * np.log(m / np.arccos(np.clip(-np.cos(m), -1, 1 - 1e-15))).max())
        low, high = 0.0, 1e4
        for _ in range(100):
            u = (low + high) / 2
            certain = np.cos(np.minimum(last * np.exp(-self.x[1:] * u), np.pi)).sum() + self.unrotated - 1
            low, high = (low, u) if certain >= 0 else (u, high)
        return high

    def last_gap(self) -> float:
        """The largest u with a violation, going down from the ceiling.

        Between two looks delta apart f >= min(ends) - K delta^2 / 8; the distances for which that leaves a doubt are
        followed one by one.
        """
        m = np.arange(self.length, dtype=float)
        u, allowance = self.ceiling(), 1.0
        values = np.concatenate([values for _, values in self.scan(u)])
        while u > 0:
            reach = min(0.1, math.sqrt(8 * allowance / self._steepest(u - 0.1)) / self.length)
            below = np.concatenate([values for _, values in self.scan(u - reach)])
            # phi sqrt(1 + phi^2) <= phi^2 + 1/2
            curvature = m**2 * self._steepest(u - reach) + 0.5 * float((self.x**2).sum())
            doubtful = np.flatnonzero(np.minimum(values, below) < curvature * reach**2 / 8 - self.slack)
            if doubtful.size and (gap := self._follow(m[doubtful], u, u - reach)) is not None:
                return gap
            allowance *= 1.2 if doubtful.size < 8 else 1 / 1.3 if doubtful.size > 64 else 1.0
            u, values = u - reach, below
        return 0.0

    def _steepest(self, u: float) -> float:
        """sum_i x_i^2 theta_i^2 at u: K is about m^2 times that."""
        return float((self.x**2 * np.exp(-2 * self.x * u)).sum())

    def _follow(self, m: Array, high: float, low: float) -> float | None:
        """The largest u in (low, high] at which one of these distances turns negative, or None."""
        u, best = np.full(m.size, high), low
        while m.size:
            f, slope, curvature = self.look(m, u)
            f = np.maximum(f + self.slack, 0.0)
            run = _reach(f, slope, curvature * math.exp(2 * (high - low)))  # K is wanted at the lower end
            stuck = run < TOLERANCE
            best = float(u[stuck].max(initial=best))
            u = u - run
            alive = ~stuck & (u > best)
            m, u = m[alive], u[alive]
        return best if best > low else None


def _reach(size: Array, slope: Array, curvature: Array) -> Array:
    """The time t to get `size` away at the fastest: size = slope t + curvature t^2 / 2."""
    return np.asarray(2 * size / (slope + np.sqrt(slope**2 + 2 * curvature * size) + 1e-300))


def _scan(theta: Array, length: int, first: int = 0) -> Iterator[tuple[int, Array]]:
    """f at distances first .. length-1, then 0 .. first-1, in growing chunks (start, values).

    Memory is bounded, angles are float64.
    """
    width = 1024 if length > 1 << 16 and theta.size <= 512 else 256
    fine = _turns(theta, width)
    right = np.concatenate([fine.real, fine.imag], axis=1).T.copy()
    start, size, end = first, 16 * width, length
    while start < end:
        stop = min(end, start + size)
        coarse = _turns(theta * width, -(-(stop - start) // width)) * np.exp(1j * start * theta)
        left = np.concatenate([coarse.real, -coarse.imag], axis=1)
        yield start, (left @ right).ravel()[: stop - start]
        start, size = stop, min(2 * size, 1 << 18)
        if start == length and first > 0:
            start, end = 0, first


def _turns(theta: Array, n: int) -> NDArray[np.complex128]:
    """e^(i k theta) for k < n, shape (n, pairs), from 2 sqrt(n) exponentials a pair."""
    side = math.isqrt(n - 1) + 1
    small = np.exp(1j * np.multiply.outer(np.arange(side), theta))
    large = np.exp(1j * np.multiply.outer(np.arange(-(-n // side)) * side, theta))
    return np.asarray((large[:, None] * small).reshape(-1, theta.size)[:n])


def _slack(length: int, pairs: int) -> float:
    return 2.0**-51 * length * pairs


def _frequencies(values: ArrayLike) -> Array:
    theta = np.asarray(values, float)
    require(
        theta.ndim == 1 and theta.size > 0 and bool(np.isfinite(theta).all()),
        f"frequencies of shape {theta.shape}: expected a non-empty list of finite numbers, one for each pair",
    )
    return theta


def _whole(name: str, value: Any, least: int) -> None:
    require(
        isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least),
        f"{name} = {value!r}: expected an integer of at least {least}",
    )
