import torch
from torch.autograd import gradcheck

from paribus.ops.logsumexp import log_one_plus_sum, masked_logsumexp


def test_part_of_a_row_and_nothing():
    x = torch.tensor([[1.0, 900.0, 2.0], [3.0, 4.0, 5.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, False, True], [False] * 3])
    found = masked_logsumexp(x, mask)
    torch.testing.assert_close(found[0], torch.logsumexp(x[0, [0, 2]], 0))
    assert found[1] < -1e300
    assert log_one_plus_sum(x, mask)[1] == 0
    assert gradcheck(lambda x: log_one_plus_sum(x, mask), x)
    assert log_one_plus_sum(torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool)).tolist() == [0, 0]


def test_small_sums_keep_their_digits():
    for level in (-30.0, -5.0, 0.0, 30.0, 80.0):
        x = torch.full((3,), level, dtype=torch.float64)
        exact = torch.log1p(3 * torch.exp(x[0]))
        found = log_one_plus_sum(x.float(), torch.ones(3, dtype=torch.bool))
        torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=0)
