"""Sparsemax is the Euclidean projection onto the simplex."""

import numpy as np
import torch
from scipy import optimize

from paribus.normalizers.sparsemax import Sparsemax

sparsemax = Sparsemax()


def test_it_is_the_nearest_point_of_the_simplex():
    generator = torch.Generator().manual_seed(0)
    for n in (2, 5, 9):
        scores = torch.randn(n, generator=generator, dtype=torch.float64)
        p, at = sparsemax(scores).numpy(), scores.numpy()
        found = optimize.minimize(
            lambda q, s=at: ((q - s) ** 2).sum(),
            np.full(n, 1 / n),
            jac=lambda q, s=at: 2 * (q - s),
            bounds=[(0, 1)] * n,
            constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
            options={"ftol": 1e-15, "maxiter": 500},
        )
        np.testing.assert_allclose(p, found.x, atol=1e-6)


def test_one_key_takes_all_from_a_lead_of_one():
    assert sparsemax(torch.tensor([1.0, 0.0, -1.0])).tolist() == [1, 0, 0]
    assert sparsemax(torch.tensor([0.5, 0.0, -1.0])).tolist() == [0.75, 0.25, 0]


def test_negentropy_is_what_it_maximises():
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(6, generator=generator, dtype=torch.float64)
    p = sparsemax(scores)
    best = p @ scores - sparsemax.negentropy(p)
    others = torch.distributions.Dirichlet(torch.full((6,), 0.4, dtype=torch.float64)).sample((2000,))
    assert (best >= others @ scores - sparsemax.negentropy(others)).all()
    assert sparsemax.negentropy(torch.eye(6)).abs().max() == 0
