import numpy as np
import pytest
from scipy.special import zeta
from scipy.stats import chisquare

from paribus.core.errors import ConfigError
from paribus.theory import quanta
from paribus.theory.quanta import (
    draw,
    expected_loss,
    exponents,
    frequency,
    learned_by_parameters,
    learned_by_samples,
    loss,
    simulate,
    tail,
)
from paribus.theory.scaling_law import fit


@pytest.mark.parametrize("gamma", [0.3, 0.5, 1.0, 2.5])
def test_frequencies_and_tail_sum_to_one(gamma):
    head = frequency(np.arange(1, 1001), gamma)
    assert head.sum() + tail(1000, gamma) == pytest.approx(1, abs=1e-12)
    assert tail(0, gamma) == pytest.approx(1)
    assert np.diff(tail(np.arange(50), gamma)) == pytest.approx(-head[:49], rel=1e-9)


def test_the_tail_and_its_two_approximations():
    gamma, n = 0.5, np.array([10, 1000])
    assert tail(n, gamma) == pytest.approx([0.23620, 0.0242039], abs=5e-6)
    assert n**-gamma / gamma / zeta(1.5) == pytest.approx([0.24210, 0.0242100], abs=5e-6)
    assert (n + 0.5) ** -gamma / gamma / zeta(1.5) == pytest.approx([0.23627, 0.0242039], abs=5e-6)
    # The published n^-gamma is high by a relative gamma / (2 n).
    assert (n**-gamma / gamma / zeta(1.5)) / tail(n, gamma) - 1 == pytest.approx(gamma / (2 * n), rel=0.05)


def test_loss_runs_from_unlearned_to_learned():
    assert loss(0, 0.5, learned=0.2, unlearned=3.0) == pytest.approx(3.0)
    assert loss(10**12, 0.5, learned=0.2, unlearned=3.0) == pytest.approx(0.2, abs=1e-5)


@pytest.mark.parametrize("gamma", [0.3, 0.5, 1.0])
def test_learned_by_samples_is_the_last_quantum_seen_often_enough(gamma):
    k = np.arange(1, 200_000)
    for samples in (10, 1234, 98_765):
        assert learned_by_samples(samples, gamma, 3) == np.count_nonzero(samples * frequency(k, gamma) >= 3)


def test_parameters():
    assert learned_by_parameters([0, 99, 100, 1050], 100).tolist() == [0, 0, 1, 10]


@pytest.mark.parametrize("gamma", [0.3, 0.5, 1.0])
def test_exponents_are_found_in_the_laws(gamma):
    expected = exponents(gamma)
    assert expected.parameters / expected.data == pytest.approx(gamma + 1)
    assert 1 / expected.data == pytest.approx(1 + 1 / expected.parameters)
    n = np.geomspace(5, 5e4, 9).round()
    by_n = fit(loss(n, gamma), {"n": n + 0.5}, irreducible=0.0).exponents[0]
    assert by_n == pytest.approx(expected.parameters, rel=2e-3)
    samples = np.geomspace(1e4, 1e7, 6).astype(int).tolist()
    mean = [np.mean([simulate(d, gamma, tau=10, seed=s) for s in range(20)]) for d in samples]
    by_samples = fit(mean, {"D": samples}, irreducible=0.0).exponents[0]
    assert by_samples == pytest.approx(expected.data, rel=0.03)
    assert by_n / by_samples == pytest.approx(gamma + 1, rel=0.03)


@pytest.mark.parametrize(("gamma", "tau"), [(0.3, 1), (0.5, 1), (0.5, 10), (1.0, 3)])
def test_the_simulation_has_the_expected_mean(gamma, tau):
    draws = [simulate(50_000, gamma, tau, seed=s, learned=0.1, unlearned=2.0) for s in range(60)]
    error = np.std(draws) / np.sqrt(60)
    assert abs(np.mean(draws) - expected_loss(50_000, gamma, tau, 0.1, 2.0)) < 4 * error + 2e-3 * np.mean(draws)
    assert draws[0] == simulate(50_000, gamma, tau, seed=0, learned=0.1, unlearned=2.0)
    assert len(set(draws)) > 30


def test_nothing_drawn_is_nothing_learned():
    assert simulate(0, 0.5, 1, unlearned=4.0) == 4.0
    assert expected_loss(0, 0.5, 1) == pytest.approx(1)


@pytest.mark.parametrize(("head", "gamma"), [(1, 0.5), (3, 1.5), (40, 0.3)])
def test_rare_quanta_are_drawn_from_the_tail(head, gamma):
    rng = np.random.default_rng(0)
    drawn = quanta._beyond(rng, head, gamma, 200_000)
    cells = np.arange(head + 1, head + 31)
    expected = np.append(frequency(cells, gamma), tail(head + 30, gamma)) / tail(head, gamma)
    counts = np.append([np.count_nonzero(drawn == k) for k in cells], np.count_nonzero(drawn > head + 30))
    assert drawn.min() == head + 1
    assert chisquare(counts, expected / expected.sum() * drawn.size).pvalue > 1e-3


@pytest.mark.parametrize("gamma", [0.5, 1.5])
def test_samples_need_quanta_as_often_as_the_law_says(gamma):
    drawn = draw(200_000, gamma)
    cells = np.arange(1, 31)
    counts = np.append([np.count_nonzero(drawn == k) for k in cells], np.count_nonzero(drawn > 30))
    expected = np.append(frequency(cells, gamma), tail(30, gamma)) * drawn.size
    assert drawn.shape == (200_000,)
    assert chisquare(counts, expected).pvalue > 1e-3
    assert (draw(50, gamma) == draw(50, gamma)).all()
    assert (draw(50, gamma) != draw(50, gamma, seed=1)).any()
    assert draw(0, gamma).shape == (0,)


def test_published_exponents_against_the_theory():
    assert exponents(0.34).data == pytest.approx(0.254, abs=5e-4)
    assert exponents(0.083).steps == pytest.approx(0.077, abs=5e-4)
    assert exponents(0.076).data == pytest.approx(0.071, abs=5e-4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: exponents(0.0), "gamma = 0.0"),
        (lambda: frequency(1, -1), "gamma"),
        (lambda: tail(3, float("nan")), "gamma"),
        (lambda: frequency(0, 1), "ranks"),
        (lambda: tail(-1, 1), "quanta >= 0"),
        (lambda: loss(3, 1, learned=2, unlearned=1), "above learned"),
        (lambda: learned_by_samples(10, 1, 0), "tau"),
        (lambda: learned_by_parameters(10, 0), "per_quantum"),
        (lambda: simulate(10, 1, 0), "tau"),
        (lambda: draw(-1, 1), "size = -1"),
        (lambda: draw(10, 0.0), "gamma"),
        (lambda: simulate(-10, 1, 1), "samples"),
        (lambda: simulate(10.5, 1, 1), "integer"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
