"""Scaling laws: loss = E + sum_r A_r / x_r^alpha_r, fitted, with intervals, and spent best under a budget of compute.

The resources x_r are whatever is given: parameters N and tokens D, or compute C alone. The fit minimises

    sum_i Huber_delta( logsumexp(ln E, ln A_r - alpha_r ln x_ri) - ln loss_i )

from a grid of starts, all at once: Gauss-Newton steps, damped, on the quadratic that touches the Huber loss from above,
so that no accepted step ever raises the objective. The best few starts are then run to convergence.
Under C = 6 N D the best split of compute is closed: N = G (C/6)^(b/(a+b)), D = (C/6)^(a/(a+b)) / G,
G = (a A / (b B))^(1/(a+b)) for loss E + A/N^a + B/D^b.

A pure power law fitted to a loss that has E > 0 has an exponent biased to 0. Units: loss in nats per token, resources
in counts, compute in FLOPs. An interval from resampling is only as good as the points are many and independent.

Sources: Hoffmann et al., Training compute-optimal large language models, arXiv:2203.15556, 2022 (approach 3);
Besiroglu et al., Chinchilla scaling: a replication attempt, arXiv:2404.10102, 2024; Kaplan et al., arXiv:2001.08361.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.core.config import require
from paribus.core.seed import generator

Array = NDArray[np.float64]

START_EXPONENTS = (0.05, 0.15, 0.3, 0.6, 1.0, 1.6)
START_OFFSETS = (0.05, 0.4, 0.7, 0.95)  # of the smallest loss
START_SHARES = (0.1, 0.5, 0.9)  # of the reducible loss, to the first resource
STEEPEST = 10.0  # exponents stay within +- this, so that no coefficient overflows


@dataclass(frozen=True)
class Fit:
    """loss = irreducible + sum_r coefficients[r] / x_r ** exponents[r]. objective: the sum of Huber losses."""

    resources: tuple[str, ...]
    irreducible: float
    coefficients: tuple[float, ...]
    exponents: tuple[float, ...]
    objective: float = math.nan
    points: int = 0

    def predict(self, **amounts: ArrayLike) -> Array:
        """The loss at these amounts of every resource, elementwise."""
        require(set(amounts) == set(self.resources), f"got {sorted(amounts)}: expected {', '.join(self.resources)}")
        x = [np.asarray(amounts[name], float) for name in self.resources]
        require(all(bool((v > 0).all()) for v in x), "amounts: expected positive numbers")
        terms = [a * v**-alpha for a, v, alpha in zip(self.coefficients, x, self.exponents)]
        return np.asarray(self.irreducible + sum(terms))

    def values(self) -> dict[str, float]:
        """Every fitted number by name: E, and A and alpha of each resource."""
        named = {"E": self.irreducible}
        for name, a, alpha in zip(self.resources, self.coefficients, self.exponents):
            named |= {f"A_{name}": a, f"alpha_{name}": alpha}
        return named


# As published; approach 3 of the first, and its re-fit. Both for N parameters and D tokens.
CHINCHILLA = Fit(("N", "D"), 1.69, (406.4, 410.7), (0.34, 0.28))
CHINCHILLA_REFIT = Fit(("N", "D"), 1.82, (482.0, 2085.0), (0.348, 0.366))


@dataclass(frozen=True)
class Allocation:
    """How compute is best spent: parameters, tokens, and the loss that follows."""

    parameters: float
    tokens: float
    loss: float


def fit(
    loss: ArrayLike, amounts: Mapping[str, ArrayLike], irreducible: float | None = None, delta: float = 1e-3
) -> Fit:
    """Fit a loss curve. amounts: {"N": parameters of each run, "D": its tokens} or one resource.

    irreducible: None fits E, 0 fits pure power laws, another number holds E there. delta: where the Huber loss of the
    log residual turns from square to linear; the published 1e-3 is nearly least absolute deviations, inf least squares.
    """
    problem = _Problem.of(loss, amounts, irreducible, delta)
    weights = np.ones((1, problem.y.size))
    theta = problem.starts()
    theta, objective = problem.minimise(theta, weights, steps=40)
    best = np.argsort(objective)[:12]
    theta, objective = problem.minimise(theta[best], weights, steps=3000)
    winner = int(np.argmin(objective))
    return problem.read(theta[winner], float(objective[winner]))


def bootstrap(
    loss: ArrayLike,
    amounts: Mapping[str, ArrayLike],
    irreducible: float | None = None,
    delta: float = 1e-3,
    groups: Sequence[object] | None = None,
    draws: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of every number of `fit`, by refitting resampled points.

    groups: points with equal labels (one training run, one seed) are resampled together; without it each point alone.
    """
    require(0 < confidence < 1, f"confidence = {confidence!r}: expected a number in (0, 1)")
    require(draws >= 20, f"draws = {draws!r}: expected at least 20 resamples for an interval")
    problem = _Problem.of(loss, amounts, irreducible, delta)
    n = problem.y.size
    labels = list(range(n)) if groups is None else list(groups)
    require(len(labels) == n, f"{len(labels)} groups for {n} points: expected one label a point")
    order = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    require(len(order) >= 4, f"{len(order)} groups: expected at least 4 to resample")
    member = np.array([order[label] for label in labels])
    counts = generator(seed, "scaling-law-bootstrap").multinomial(len(order), [1 / len(order)] * len(order), size=draws)
    centre = fit(loss, amounts, irreducible, delta)
    starts = np.concatenate([problem.write(centre)[None], problem.starts()[:: max(1, len(problem.starts()) // 3)]])
    weights = counts[:, member].astype(float)
    theta = np.repeat(starts, draws, axis=0)
    theta, objective = problem.minimise(theta, np.tile(weights, (len(starts), 1)), steps=400)
    best = objective.reshape(len(starts), draws).argmin(0)
    found = [problem.read(theta[b * draws + i], 0.0).values() for i, b in enumerate(best)]
    tail = (1 - confidence) / 2
    spans = {name: np.quantile([one[name] for one in found], [tail, 1 - tail]) for name in found[0]}
    return {name: (float(low), float(high)) for name, (low, high) in spans.items()}


def compute_optimal(law: Fit, flops: float, flops_per_token_parameter: float = 6.0) -> Allocation:
    """The parameters and tokens of least loss with flops = 6 N D. The law's resources must be N and D."""
    require(law.resources == ("N", "D"), f"resources {law.resources}: expected a law in ('N', 'D')")
    require(0 < flops < math.inf and flops_per_token_parameter > 0, f"flops = {flops!r}: expected a positive number")
    (a, b), (alpha, beta) = law.coefficients, law.exponents
    require(min(a, b, alpha, beta) > 0, "the law has a coefficient or an exponent <= 0: no balance of N and D exists")
    product = flops / flops_per_token_parameter
    g = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    n, d = g * product ** (beta / (alpha + beta)), product ** (alpha / (alpha + beta)) / g
    return Allocation(n, d, float(law.predict(N=n, D=d)))


@dataclass(frozen=True)
class _Problem:
    """theta = (ln E,  ln A_r at the mean of ln x_r,  alpha_r); ln E is left out when E is held."""

    names: tuple[str, ...]
    y: Array  # ln loss, (points,)
    z: Array  # ln x less its mean, (resources, points)
    shift: Array  # the means
    held: float | None
    delta: float

    @classmethod
    def of(cls, loss: ArrayLike, amounts: Mapping[str, ArrayLike], held: float | None, delta: float) -> "_Problem":
        y = np.asarray(loss, float)
        require(len(amounts) > 0, "amounts: expected at least one resource, as {'N': [...]}")
        x = {name: np.asarray(values, float) for name, values in amounts.items()}
        free = 2 * len(x) + (held is None)
        require(y.ndim == 1 and y.size >= max(4, free), f"{y.size} points: expected at least {max(4, free)}")
        require(delta > 0, f"delta = {delta!r}: expected a number > 0")
        require(held is None or 0 <= held < math.inf, f"irreducible = {held!r}: expected None or a loss >= 0")
        floor = held or 0.0
        require(
            bool((np.isfinite(y) & (y > floor)).all()),
            f"loss: expected finite numbers above {floor:g}, got a minimum of {y.min():g}; a law has no other",
        )
        for name, values in x.items():
            require(values.shape == y.shape, f"{name}: {values.shape} amounts for {y.shape} losses")
            require(bool((np.isfinite(values) & (values > 0)).all()), f"{name}: expected finite positive amounts")
            require(np.unique(values).size > 1, f"{name}: all amounts are equal, so its exponent cannot be known")
        z = np.log(np.stack(list(x.values())))
        return cls(tuple(x), np.log(y), z - z.mean(1, keepdims=True), z.mean(1), held, delta)

    def starts(self) -> Array:
        least, middle, r = float(np.exp(self.y.min())), float(np.exp(self.y.mean())), len(self.names)
        shares: list[tuple[float, ...]] = [(1.0,)]
        if r > 1:
            shares = [(s, *[(1 - s) / (r - 1)] * (r - 1)) for s in START_SHARES]
        offsets = [f * least for f in START_OFFSETS] if self.held is None else [self.held]
        rows = []
        for e, share, alphas in itertools.product(offsets, shares, itertools.product(START_EXPONENTS, repeat=r)):
            scale = [math.log(s * (middle - min(e, 0.99 * middle))) for s in share]
            rows.append([*([math.log(e)] if self.held is None else []), *scale, *alphas])
        return np.array(rows)

    def minimise(self, theta: Array, weights: Array, steps: int) -> tuple[Array, Array]:
        """Descend from every row of theta (starts, parameters); weights (starts or 1, points)."""
        theta, weights = theta.copy(), np.broadcast_to(weights, (len(theta), self.y.size))
        damping, value = np.full(len(theta), 1e-3), np.empty(len(theta))
        value[:] = self._objective(self._model(theta)[0] - self.y, weights)
        live = np.arange(len(theta))
        for _ in range(steps):
            predicted, jacobian = self._model(theta[live])
            residual = predicted - self.y
            touch = weights[live] * np.minimum(1.0, self.delta / np.maximum(np.abs(residual), 1e-300))
            weighted = jacobian * touch[..., None]
            hessian = np.swapaxes(weighted, 1, 2) @ jacobian
            slope = (weighted * residual[..., None]).sum(1)
            ridge = damping[live, None] * (np.diagonal(hessian, axis1=1, axis2=2) + 1e-12)
            hessian[:, range(theta.shape[1]), range(theta.shape[1])] += ridge
            step = np.clip(np.linalg.solve(hessian, slope[..., None])[..., 0], -3, 3)
            trial = theta[live] - step
            r = len(self.names)
            trial[:, -r:] = np.clip(trial[:, -r:], -STEEPEST, STEEPEST)
            if self.held is None:
                trial[:, 0] = np.maximum(trial[:, 0], self.y.min() - 40)  # E = 0 lies at minus infinity
            after = self._objective(self._model(trial)[0] - self.y, weights[live])
            better = after < value[live]
            gain = np.where(better, value[live] - after, np.inf)
            theta[live[better]], old = trial[better], value[live]
            value[live[better]] = after[better]
            damping[live] = np.clip(np.where(better, damping[live] / 4, damping[live] * 6), 1e-12, 1e12)
            done = (gain < 1e-13 * old) | (damping[live] >= 1e12) | (value[live] == 0)
            live = live[~done]
            if not live.size:
                break
        return theta, value

    def read(self, theta: Array, objective: float) -> Fit:
        k, r = int(self.held is None), len(self.names)
        e = math.exp(theta[0]) if self.held is None else self.held
        alphas = theta[k + r :]
        coefficients = np.exp(theta[k : k + r] + alphas * self.shift)
        return Fit(self.names, e, tuple(map(float, coefficients)), tuple(map(float, alphas)), objective, self.y.size)

    def write(self, law: Fit) -> Array:
        first = [math.log(max(law.irreducible, 1e-300))] if self.held is None else []
        scale = [
            math.log(max(a, 1e-300)) - alpha * s for a, alpha, s in zip(law.coefficients, law.exponents, self.shift)
        ]
        return np.array(first + scale + list(law.exponents))

    def _model(self, theta: Array) -> tuple[Array, Array]:
        """ln of the loss (starts, points) and its derivative in theta (starts, points, parameters)."""
        k, r = int(self.held is None), len(self.names)
        terms = theta[:, k : k + r, None] - theta[:, k + r :, None] * self.z
        if self.held is None:
            constant = np.broadcast_to(theta[:, :1, None], (len(theta), 1, self.y.size))
        else:
            constant = np.full((len(theta), 1, self.y.size), math.log(self.held) if self.held else -np.inf)
        stack = np.concatenate([constant, terms], axis=1)
        top = stack.max(1, keepdims=True)
        shares = np.exp(stack - top)
        total = shares.sum(1, keepdims=True)
        shares = shares / total
        columns = np.concatenate([shares[:, 1 - k :], -shares[:, 1:] * self.z], axis=1)
        return (top + np.log(total))[:, 0], np.swapaxes(columns, 1, 2)

    def _objective(self, residual: Array, weights: Array) -> Array:
        size = np.abs(residual)
        square = np.minimum(size, self.delta)
        # delta may be infinite: then size = square and the linear part is 0, not inf * 0.
        linear = np.where(size > square, self.delta * (size - square), 0.0) if math.isfinite(self.delta) else 0.0
        return np.asarray((weights * (square**2 / 2 + linear)).sum(-1))
