import pytest
import torch
from scipy import optimize

from paribus.normalizers.topk.sigmoid import SigmoidTopK
from paribus.ops.transport import transport_top_k


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_crawls_towards_the_sigmoid_threshold():
    x = numbers(4, 9)
    exact = SigmoidTopK(k=3, temperature=0.2).select(x)
    apart = [(transport_top_k(x, 3, 0.2, i) - exact).abs().max() for i in (5, 50, 500)]
    assert apart[0] > apart[1] > apart[2]
    assert apart[2] < 1e-4


def test_a_general_solver_gives_the_same_plan():
    ot = pytest.importorskip("ot")
    x = numbers(7, seed=1)
    cost = torch.stack([-x, torch.zeros(7, dtype=x.dtype)], dim=1).numpy()
    plan = ot.sinkhorn([1.0] * 7, [2.0, 5.0], cost, reg=0.5, method="sinkhorn_log", numItermax=5000, stopThr=1e-13)
    torch.testing.assert_close(torch.from_numpy(plan[:, 0]), SigmoidTopK(k=2, temperature=0.5).select(x))


def test_without_entropy_it_is_the_linear_program():
    x = numbers(6, seed=2)
    found = optimize.linprog(-x.numpy(), A_eq=[[1.0] * 6], b_eq=[2.0], bounds=[(0, 1)] * 6)
    torch.testing.assert_close(transport_top_k(x, 2, 0.01, 2000), torch.from_numpy(found.x), rtol=0, atol=1e-3)
