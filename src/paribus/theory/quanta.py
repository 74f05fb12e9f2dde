"""The quantisation model of scaling: abilities come in units of Zipf frequencies, and the loss counts the unlearned.

    p_k = k^-(gamma+1) / zeta(gamma+1),  k = 1, 2, ...;   L(n) = a + (b - a) zeta(gamma+1, n+1) / zeta(gamma+1)

when the n most frequent quanta are learned (cost a each time one is needed, b when it is not); the tail is about
(n + 1/2)^-gamma / (gamma zeta). One resource at a time, the others without limit:

    parameters N, C of them a quantum:            n = N / C                              loss exponent gamma
    D samples, a quantum needs tau of its own:    n = (D / (tau zeta))^(1/(gamma+1))     gamma / (gamma+1)
    S steps of B fresh samples:                   the same with D = S B                  gamma / (gamma+1)

hence 1/alpha_D = 1 + 1/alpha_N. The three laws may not be added up and called this theory. Published fits do not all
agree: Chinchilla's alpha_N = 0.34 predicts alpha_D = 0.254 against 0.28; Pythia's 0.083 predicts alpha_S = 0.077, and
about 0.037 was measured. Repeated data count as steps, not as data.

Sources: Michaud et al., The quantization model of neural scaling, arXiv:2303.13506, 2023; 苏剑林,
基于量子化假设推导模型的尺度定律, 2023-05-18.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import zeta
from scipy.stats import poisson

from paribus.core.config import require
from paribus.core.seed import generator

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Exponents:
    """Loss falls as resource^-exponent."""

    parameters: float
    data: float
    steps: float


def exponents(gamma: float) -> Exponents:
    """gamma, gamma / (gamma + 1), gamma / (gamma + 1)."""
    _check(gamma)
    return Exponents(gamma, gamma / (gamma + 1), gamma / (gamma + 1))


def frequency(k: ArrayLike, gamma: float) -> Array:
    """p_k for quanta k >= 1, over infinitely many of them; sums to 1."""
    _check(gamma)
    k = np.asarray(k, float)
    require(bool((k >= 1).all()), "k: expected ranks >= 1")
    return np.asarray(k ** -(gamma + 1) / zeta(gamma + 1))


def tail(n: ArrayLike, gamma: float) -> Array:
    """The frequency of all quanta beyond the first n, in (0, 1]; exact, by the Hurwitz zeta function."""
    _check(gamma)
    n = np.asarray(n, float)
    require(bool((n >= 0).all()), f"n = {n}: expected a number of quanta >= 0")
    return np.asarray(zeta(gamma + 1, np.floor(n) + 1) / zeta(gamma + 1))


def loss(n: ArrayLike, gamma: float, learned: float = 0.0, unlearned: float = 1.0) -> Array:
    """The expected cost of a sample once the n most frequent quanta are learned; `unlearned` at n = 0."""
    require(unlearned > learned, f"unlearned = {unlearned!r}: expected a cost above learned = {learned!r}")
    return np.asarray(learned + (unlearned - learned) * tail(n, gamma))


def learned_by_parameters(parameters: ArrayLike, per_quantum: float) -> Array:
    """floor(N / C) quanta."""
    require(per_quantum > 0, f"per_quantum = {per_quantum!r}: expected parameters > 0")
    return np.asarray(np.floor(np.asarray(parameters, float) / per_quantum))


def learned_by_samples(samples: ArrayLike, gamma: float, tau: float) -> Array:
    """floor((D / (tau zeta))^(1/(gamma+1))): the quanta that are expected at least tau times in D samples."""
    _check(gamma)
    require(tau > 0, f"tau = {tau!r}: expected a number of samples > 0")
    return np.asarray(np.floor((np.asarray(samples, float) / (tau * zeta(gamma + 1))) ** (1 / (gamma + 1))))


def expected_loss(samples: float, gamma: float, tau: int, learned: float = 0.0, unlearned: float = 1.0) -> float:
    """The mean of `simulate`, for Poisson counts: every quantum is learned with P(count >= tau).

    Quanta of which fewer than tau / 1000 samples are expected count as unlearned: an error below 1/1000 of the loss.
    """
    _check_samples(samples, tau)
    last = math.ceil(float(learned_by_samples(samples, gamma, tau / 1000))) + 100
    p = frequency(np.arange(1, last + 1), gamma)
    missed = float((p * poisson.cdf(tau - 1, samples * p)).sum()) + float(tail(last, gamma))
    return learned + (unlearned - learned) * missed


def simulate(
    samples: int, gamma: float, tau: int, seed: int = 0, learned: float = 0.0, unlearned: float = 1.0
) -> float:
    """The loss after drawing that many samples: a quantum is learned iff it was drawn at least tau times.

    Exact for infinitely many quanta. Time and memory grow with the distinct quanta drawn, samples^(1/(gamma+1)).
    """
    _check(gamma)
    _check_samples(samples, tau)
    require(isinstance(samples, int), f"samples = {samples!r}: expected an integer")
    rng = generator(seed, "quanta", samples, repr(gamma))
    head = int(learned_by_samples(samples, gamma, 1.0)) + 1
    p = frequency(np.arange(1, head + 1), gamma)
    rest = float(tail(head, gamma))
    counts = rng.multinomial(samples, np.append(p, rest) / (p.sum() + rest))
    got = float(p[counts[:-1] >= tau].sum())
    rare, times = np.unique(_beyond(rng, head, gamma, int(counts[-1])), return_counts=True)
    got += float(frequency(rare[times >= tau], gamma).sum()) if rare.size else 0.0
    return learned + (unlearned - learned) * (1 - got)


def draw(size: int, gamma: float, seed: int = 0) -> Array:
    """Which quantum each of that many samples needs: ranks k >= 1 of probability p_k, (size,), not rounded to a last.

    Float64, as rare ranks pass any integer when gamma is small.
    """
    _check(gamma)
    require(isinstance(size, int) and size >= 0, f"size = {size!r}: expected a number of samples >= 0")
    return _beyond(generator(seed, "quanta draw", repr(gamma)), 0, gamma, size)


def _beyond(rng: np.random.Generator, head: int, gamma: float, size: int) -> Array:
    """Draws of k > head with p_k ~ k^-(gamma+1): a rounded Pareto variable, accepted by k^-s over its integral."""
    found = np.empty(0)
    while found.size < size:
        k = np.rint((head + 0.5) * (1 - rng.random(size - found.size + 16)) ** (-1 / gamma))
        k = np.maximum(k, head + 1)
        s = gamma + 1
        # k^s times the integral of x^-s over k +- 1/2, at least 1 as x^-s is convex; beyond 1e4 by its series.
        near = (-np.expm1(-gamma * np.log1p(1 / (k - 0.5)))) * (1 - 0.5 / k) ** -gamma * k / gamma
        mass = np.where(k < 1e4, near, 1 + s * (s + 1) / (24 * k**2))
        found = np.append(found, k[rng.random(k.size) * mass < 1])
    return found[:size]


def _check(gamma: float) -> None:
    require(0 < gamma < math.inf, f"gamma = {gamma!r}: expected gamma > 0, or the frequencies have no sum")


def _check_samples(samples: float, tau: int) -> None:
    require(0 <= samples < math.inf, f"samples = {samples!r}: expected a number >= 0")
    require(isinstance(tau, int) and tau >= 1, f"tau = {tau!r}: expected an integer of at least 1")
