import torch

from paribus.normalizers.sigmoid import Sigmoid


def test_weights_sum_to_about_one_at_zero_scores_at_any_length():
    for n in (1, 10, 1000):
        total = Sigmoid()(torch.zeros(n, dtype=torch.float64)).sum()
        torch.testing.assert_close(total, torch.tensor(n / (1 + n), dtype=torch.float64))  # n sigmoid(-log n)


def test_n_counts_what_is_seen():
    scores, mask = torch.randn(2, 6), torch.tensor([[True] * 3 + [False] * 3, [True] * 6])
    expected = torch.sigmoid(scores - torch.tensor([[3.0], [6.0]]).log()) * mask
    torch.testing.assert_close(Sigmoid()(scores, mask), expected)
