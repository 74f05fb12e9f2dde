import torch

from paribus.ops.masking import masked_softmax, n_visible


def test_hidden_rows_and_counts():
    scores = torch.randn(2, 3)
    mask = torch.tensor([[True, False, True], [False] * 3])
    weights = masked_softmax(scores, mask)
    assert torch.equal(weights[1], torch.zeros(3))
    torch.testing.assert_close(weights[0, [0, 2]], scores[0, [0, 2]].softmax(-1))
    assert n_visible(scores, mask).tolist() == [[2], [1]]
    assert n_visible(scores, None).tolist() == [[3], [3]]
    assert n_visible(torch.tensor([1.0, -torch.inf, torch.nan]), None).tolist() == [2]
    assert masked_softmax(torch.zeros(2, 0), None).shape == (2, 0)


def test_alike_inside_transforms_and_compiled():
    """There no number may be looked at."""
    scores = torch.randn(4, 3, 5).masked_fill(torch.rand(4, 3, 5) < 0.3, -torch.inf)
    scores[..., 0] = 0.5
    mask = torch.rand(4, 3, 5) < 0.7
    mask[..., 0] = True
    mask[1, 0] = False
    for one in (None, mask):
        found = torch.func.vmap(masked_softmax, in_dims=(0, None if one is None else 0))(scores, one)
        assert torch.equal(found, masked_softmax(scores, one))
    scores[2, 1] = -torch.inf
    compiled = torch.compile(masked_softmax, fullgraph=True, backend="aot_eager")
    for one in (None, mask):
        torch.testing.assert_close(compiled(scores, one), masked_softmax(scores, one))
        assert masked_softmax(scores, one).isfinite().all()
