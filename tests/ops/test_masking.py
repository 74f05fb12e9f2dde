import torch

from paribus.ops.masking import masked_softmax, n_visible


def test_hidden_rows_and_counts():
    scores = torch.randn(2, 3)
    mask = torch.tensor([[True, False, True], [False] * 3])
    weights = masked_softmax(scores, mask)
    assert torch.equal(weights[1], torch.zeros(3))
    torch.testing.assert_close(weights[0, [0, 2]], scores[0, [0, 2]].softmax(-1))
    assert n_visible(scores, mask).tolist() == [[2], [1]]
    assert n_visible(scores, None).tolist() == [3]
