import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from paribus.core.errors import ConfigError
from paribus.theory.sparsity import (
    MEASURES,
    divergence,
    gini,
    hoyer,
    kurtosis,
    lorenz,
    norm_ratio,
    purity,
    renyi_entropy,
)

# Entries on a scale where a strict axiom is strict in float64 too; zeros included.
entries = st.one_of(st.just(0.0), st.integers(1, 1000).map(float))
vectors = st.lists(entries, min_size=2, max_size=12).filter(lambda x: sum(v > 0 for v in x) >= 2)
fractions = st.floats(0.1, 0.9)


def value(measure, x):
    """Larger = sparser, whatever the measure."""
    return measure.sparser * float(measure.function(np.asarray(x, float)))


def d1(x, i, j, fraction):
    """Robin Hood: (before, after), after is less sparse."""
    x = np.asarray(x, float)
    order = np.argsort(x)
    poor, rich = order[i % len(x)], order[-1 - j % len(x)]
    if x[poor] >= x[rich]:
        return None
    after = x.copy()
    gift = fraction * (x[rich] - x[poor]) / 2
    after[rich] -= gift
    after[poor] += gift
    return after, x


# Each gives (less sparse, sparser); D2 and D4 give (equal, equal).
def d3(x, i, j, fraction):
    x = np.asarray(x, float)
    return None if np.ptp(x) == 0 else (x + 10 * fraction, x)


def p1(x, i, j, fraction):
    x = np.asarray(x, float)
    large = x.copy()
    large[i % len(x)] = 20 * x.sum()
    larger = large.copy()
    larger[i % len(x)] *= 1 + 5 * fraction
    rest = large.sum() - large[i % len(x)]
    return None if rest == 0 else (large, larger)


def p2(x, i, j, fraction):
    return np.asarray(x, float), np.append(x, 0.0)


STRICT = {"D1": d1, "D3": d3, "P1": p1, "P2": p2}
obeyed = [pytest.param(m, a, id=f"{m.name}-{a}") for m in MEASURES for a in sorted(m.axioms)]
broken = {(m.name, a) for m in MEASURES for a in ("D1", "D2", "D3", "D4", "P1", "P2") if a not in m.axioms}


@pytest.mark.parametrize(("measure", "axiom"), obeyed)
@settings(max_examples=40, deadline=None)
@given(x=vectors, i=st.integers(0, 11), j=st.integers(0, 11), fraction=fractions)
def test_axioms_that_hold(measure, axiom, x, i, j, fraction):
    if axiom == "D2":
        assert value(measure, np.asarray(x) * 10 ** (40 * (fraction - 0.5))) == pytest.approx(
            value(measure, x), rel=1e-11
        )
    elif axiom == "D4":
        assert value(measure, x * 3) == pytest.approx(value(measure, x), rel=1e-11, abs=1e-14)
    elif (pair := STRICT[axiom](x, i, j, fraction)) is not None:
        less, more = pair
        assert value(measure, less) < value(measure, more)


# For each axiom that a measure breaks: (what should be less sparse, what should be sparser), and it is not so.
EVEN, UNEVEN = [10, 0.5, 0.5], [10, 1, 0]
COUNTER = {
    ("l1/max", "D1"): ([3, 1.5, 1.5], [3, 2, 1]),
    ("l2/l4", "D1"): (EVEN, UNEVEN),
    ("kurtosis", "D1"): (EVEN, UNEVEN),
    ("hoyer", "D4"): ([1, 2], [1, 2, 1, 2]),
    ("entropy", "D4"): ([1, 2, 1, 2], [1, 2]),
    ("purity", "D4"): ([1, 2, 1, 2], [1, 2]),
    ("kurtosis", "D4"): ([1, 2, 1, 2], [1, 2]),
    ("entropy", "P2"): ([1, 2], [1, 2, 0]),
    ("purity", "P2"): ([1, 2], [1, 2, 0]),
    ("kurtosis", "P2"): ([1, 2], [1, 2, 0]),
}


def test_every_broken_axiom_has_a_counter_example():
    assert set(COUNTER) == broken


@pytest.mark.parametrize("case", sorted(COUNTER), ids="-".join)
def test_axioms_that_fail(case):
    measure = next(m for m in MEASURES if m.name == case[0])
    less, more = (value(measure, x) for x in COUNTER[case])
    if case[1] == "D4":
        assert abs(less - more) > 1e-3
    else:
        assert not less < more - 1e-12


@pytest.mark.filterwarnings("ignore:q = .*outside q <= 1 <= p:UserWarning")
def test_the_family_beyond_q_at_most_1_at_most_p_breaks_robin_hood():
    assert float(norm_ratio(UNEVEN, 2, 4)) == pytest.approx(0.7636, abs=5e-5)
    assert float(norm_ratio(EVEN, 2, 4)) == pytest.approx(0.7617, abs=5e-5)
    small = [1e-3] * 2000
    assert float(norm_ratio([1.2, 0.8, *small], 0.2, 0.8)) == pytest.approx(0.76855, abs=5e-6)
    assert float(norm_ratio([1, 1, *small], 0.2, 0.8)) == pytest.approx(0.76797, abs=5e-6)


def test_it_warns_there_and_only_there():
    for q, p in ((2, 4), (0.2, 0.8), (1.01, math.inf)):
        with pytest.warns(UserWarning, match=r"outside q <= 1 <= p .* \(axiom D1 fails\)"):
            norm_ratio(EVEN, q, p)
    for q, p in ((1, 2), (0.5, 1), (1, math.inf)):
        norm_ratio(EVEN, q, p)  # a warning would be an error here


@pytest.mark.parametrize(("q", "p"), [(1, 2), (0.5, 1), (0.5, 2), (1, 4)])
def test_no_violation_of_robin_hood_inside(q, p):
    draw = np.random.default_rng(0)
    x = draw.exponential(size=(10_000, 6)) ** 2
    x.sort(-1)
    gift = draw.uniform(0.05, 0.95, 10_000) * (x[:, -1] - x[:, 0]) / 2
    after = x.copy()
    after[:, 0] += gift
    after[:, -1] -= gift
    assert (norm_ratio(after, q, p) > norm_ratio(x, q, p)).all()


def test_unnormalised_ratio_breaks_cloning_alone():
    x = np.array([1.0, 2.0, 3.0])
    assert float(norm_ratio(x, normalised=False)) == pytest.approx(6 / 3 / math.sqrt(14))
    assert float(norm_ratio(np.tile(x, 4), normalised=False)) == pytest.approx(
        float(norm_ratio(x, normalised=False)) / 2
    )


@settings(max_examples=50, deadline=None)
@given(vectors, st.floats(1.05, 6.0))
def test_renyi_identity(x, p):
    assert math.log(norm_ratio(x, 1, p)) == pytest.approx(-(1 - 1 / p) * float(divergence(x, p)), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.01, 100) | st.floats(-100, -0.01), min_size=1, max_size=9))
def test_norm_ratio_is_a_cosine_and_a_signal_to_noise_ratio(x):
    x, ratio = np.array(x), float(norm_ratio(x))
    assert ratio == pytest.approx(np.sign(x) @ x / math.sqrt(x.size) / np.linalg.norm(x), rel=1e-12)
    a = np.abs(x)
    # The post prints this without the square root.
    assert ratio == pytest.approx(1 / math.sqrt(1 + a.var() / a.mean() ** 2), rel=1e-12)


@pytest.mark.parametrize("n", [2, 7, 64])
@pytest.mark.parametrize(("q", "p"), [(1, 2), (0.5, 3), (1, math.inf)])
def test_k_equal_entries(n, q, p):
    for k in (1, n // 2, n):
        x = np.zeros(n)
        x[:k] = 3.0
        assert float(norm_ratio(x, q, p)) == pytest.approx((k / n) ** (1 / q - 1 / p))


def test_extremes():
    one_hot, flat = np.eye(5)[2], np.full(5, 0.2)
    assert float(hoyer(one_hot)) == pytest.approx(1)
    assert float(gini(one_hot)) == pytest.approx(1 - 1 / 5)
    assert float(divergence(one_hot)) == pytest.approx(math.log(5))
    assert float(purity(one_hot)) == float(kurtosis(one_hot)) == 1
    for measure in (hoyer, gini, divergence):
        assert float(measure(flat)) == pytest.approx(0, abs=1e-15)
    assert float(hoyer([3.0])) == float(gini([3.0])) == float(divergence([-3.0])) == 0
    assert float(norm_ratio([3.0])) == 1


def test_limits_of_samples():
    n = 400_000
    u = (np.arange(n) + 0.5) / n
    assert float(norm_ratio(stats.halfnorm.ppf(u))) == pytest.approx(math.sqrt(2 / math.pi), abs=2e-5)
    assert float(norm_ratio(stats.expon.ppf(u))) == pytest.approx(1 / math.sqrt(2), abs=1e-4)
    assert float(norm_ratio(u)) == pytest.approx(math.sqrt(3) / 2, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(vectors)
def test_gini_is_the_mean_absolute_difference(x):
    x = np.array(x)
    n = x.size
    assert float(gini(x)) == pytest.approx(np.abs(x[:, None] - x).sum() / (2 * n * n * x.mean()), abs=1e-12)
    ascending = np.sort(x)
    ranks = np.arange(1, n + 1)
    assert float(gini(x)) == pytest.approx(1 - 2 * (ascending / x.sum() * (n - ranks + 0.5) / n).sum(), abs=1e-12)
    share, held = lorenz(x)
    assert float(gini(x)) == pytest.approx(1 - 2 * np.trapezoid(held, share), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(vectors)
def test_hoyer_is_the_ratio_stretched(x):
    root = math.sqrt(len(x))
    assert float(hoyer(x)) == pytest.approx(1 - (float(norm_ratio(x)) - 1 / root) / (1 - 1 / root), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(vectors)
def test_entropies(x):
    p = np.array(x) / sum(x)
    assert float(renyi_entropy(x)) == pytest.approx(stats.entropy(p), abs=1e-12)
    assert float(renyi_entropy(x, 2)) == pytest.approx(-math.log((p**2).sum()), abs=1e-12)
    assert float(renyi_entropy(x, 0)) == pytest.approx(math.log(np.count_nonzero(p)), abs=1e-12)
    assert float(renyi_entropy(x, math.inf)) == pytest.approx(-math.log(p.max()), abs=1e-12)
    around = [float(renyi_entropy(x, order)) for order in (0.5, 0.9989, 0.99901, 1 - 1e-9, 1, 1 + 1e-9, 1.0011, 2, 400)]
    assert all(first >= second - 1e-9 for first, second in itertools.pairwise(around))
    assert around[3] == pytest.approx(around[5], abs=1e-7)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_weights_are_multiplicities_and_masks(measure):
    values, times = np.array([0.5, -3.0, 1.0, 0.0]), np.array([2, 1, 3, 4])
    unrolled = measure.function(np.repeat(values, times))
    assert measure.function(values, weights=times) == pytest.approx(unrolled, rel=1e-12)
    mask = np.array([True, True, False, True])
    poisoned = np.where(mask, values, math.nan)
    assert measure.function(poisoned, weights=mask) == pytest.approx(measure.function(values[mask]), rel=1e-12)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_batches_scale_and_order(measure):
    x = np.random.default_rng(1).standard_normal((3, 5, 7))
    whole = measure.function(x)
    assert whole.shape == (3, 5)
    assert whole[2, 4] == pytest.approx(float(measure.function(x[2, 4])), rel=1e-14)
    np.testing.assert_allclose(measure.function(x[..., ::-1]), whole, rtol=1e-12)
    for scale in (1e-30, 1e30):
        scaled = (x.astype(np.float32) * np.float32(scale)).astype(np.float32)
        np.testing.assert_allclose(measure.function(scaled), whole, rtol=1e-5)


def test_causal_rows_of_unequal_length_agree_with_themselves():
    scores = np.random.default_rng(0).standard_normal((6, 6))
    mask = np.tril(np.ones((6, 6), bool))
    rows = norm_ratio(np.exp(scores), weights=mask)
    for i in range(6):
        assert rows[i] == pytest.approx(float(norm_ratio(np.exp(scores[i, : i + 1]))))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: norm_ratio([1, 2], 2, 1), "0 < q < p"),
        (lambda: norm_ratio([1, 2], 0, 1), "0 < q < p"),
        (lambda: norm_ratio([1, 2], math.nan), "0 < q < p"),
        (lambda: gini([]), "at least one number"),
        (lambda: gini(3.0), "at least one number"),
        (lambda: hoyer([1.0, math.nan]), "NaN"),
        (lambda: hoyer([1.0, math.inf]), "infinity"),
        (lambda: gini([[1.0, 2.0], [0.0, 0.0]]), r"row \(1,\) has no non-zero"),
        (lambda: gini([1.0, 2.0], weights=[1.0, -1.0]), "weights"),
        (lambda: gini([1.0, 2.0], weights=[0.0, 0.0]), "no non-zero"),
        (lambda: hoyer([1.0, 2.0], weights=[0.1, 0.1]), "at least one entry"),
        (lambda: renyi_entropy([1.0], -1), "order"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
