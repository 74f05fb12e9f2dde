"""Marginals of random k-subsets: enumeration, a table of prefixes and suffixes, and where subtraction fails."""

import itertools

import pytest
import torch

from paribus.ops.subsets import subset_marginals


def numbers(n, seed=0, sigma=1.0):
    return sigma * torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_enumeration(x, k):
    subsets = list(itertools.combinations(range(len(x)), k))
    weights = torch.softmax(torch.stack([x[list(subset)].sum() for subset in subsets]), 0)
    p = torch.zeros_like(x)
    for subset, weight in zip(subsets, weights):
        p[list(subset)] += weight
    return p


def by_prefix_and_suffix(x, k):
    """p_i = e^{x_i} sum_j P_i[j] S_i[k - 1 - j] / Z: slow twin, additions only."""

    def tables(row):
        e = torch.full((k + 1,), -torch.inf, dtype=torch.float64)
        e[0] = 0.0
        found = [e]
        for value in row:
            e = torch.logaddexp(e, torch.cat([e.new_tensor([-torch.inf]), e[:-1] + value]))
            found.append(e)
        return found

    prefix, suffix = tables(x), tables(x.flip(0))
    n = len(x)
    each = [torch.logsumexp(prefix[i][:k] + suffix[n - 1 - i][:k].flip(0), 0) + x[i] for i in range(n)]
    return torch.exp(torch.stack(each) - prefix[n][k])


def by_published_recursion(x, k):
    """Z_{k,i} = e^{x_i} (Z_{k-1} - Z_{k-1,i}), k Z_k = sum_i Z_{k,i}, in logs."""
    log_zi = x
    log_z = torch.logsumexp(x, 0)
    for j in range(2, k + 1):
        log_zi = x + log_z + torch.log(1 - torch.exp(log_zi - log_z))
        log_z = torch.logsumexp(log_zi, 0) - torch.log(torch.tensor(float(j)))
    return torch.exp(log_zi - log_z)


def marginals(x, k):
    return subset_marginals(x[None].double(), torch.tensor([[k]]), k)[0]


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("sigma", [0.1, 3.0, 100.0])
def test_enumeration(n, sigma):
    x = numbers(n, seed=n, sigma=sigma)
    for k in range(1, n + 1):
        torch.testing.assert_close(marginals(x, k), by_enumeration(x, k), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("n", "k"), [(100, 3), (100, 10), (65, 60), (33, 16)])
@pytest.mark.parametrize("sigma", [0.3, 3.0, 10.0, 1e3])
def test_the_twin(n, k, sigma):
    x = numbers(n, seed=k, sigma=sigma)
    torch.testing.assert_close(marginals(x, k), by_prefix_and_suffix(x, k), rtol=0, atol=1e-10)
    torch.testing.assert_close(marginals(x, k).sum(), torch.tensor(float(k), dtype=torch.float64))


def test_where_the_published_recursion_fails():
    x = torch.tensor([36.0, 0.0, 0.0, -1.0], dtype=torch.float64)
    assert by_published_recursion(x, 2)[0] < 0.5
    assert marginals(x, 2)[0] > 1 - 1e-12
    wrong = 0
    for seed in range(50):
        x = numbers(100, seed=seed, sigma=10.0)
        gap = (by_published_recursion(x, 10) - by_prefix_and_suffix(x, 10)).abs().max()
        wrong += not gap < 0.01
    assert wrong >= 40  # of 50, in float64


@pytest.mark.parametrize(("sigma", "k", "least"), [(3.0, 10, 25), (10.0, 3, 10)])
def test_and_in_float32_at_smaller_spreads(sigma, k, least):
    wrong = 0
    for seed in range(50):
        x = numbers(100, seed=seed, sigma=sigma).float()
        exact = by_prefix_and_suffix(x.double(), k)
        wrong += not (by_published_recursion(x, k) - exact).abs().max() < 0.01
        ours = subset_marginals(x[None].double(), torch.tensor([[k]]), k)[0]
        assert (ours - exact).abs().max() < 1e-10
    assert wrong >= least  # of 50


def test_rows_of_their_own_k():
    x = torch.stack([numbers(7, seed=i) for i in range(4)])
    p = subset_marginals(x, torch.tensor([[0], [1], [3], [5]]), 5)
    for row, k in enumerate((0, 1, 3, 5)):
        expected = torch.zeros(7, dtype=torch.float64) if k == 0 else marginals(x[row], k)
        torch.testing.assert_close(p[row], expected)
