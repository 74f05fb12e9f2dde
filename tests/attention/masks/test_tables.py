"""Masks that hold a table of tokens: documents and padding."""

import pytest
import torch

from paribus.attention.masks.document import Document
from paribus.attention.masks.visible import Visible
from paribus.core.errors import ConfigError

AT = torch.arange(4)


def test_documents():
    found = Document(ids=((0, 0, 1, 1), (5, 6, 5, 5))).dense(2, 1, AT, AT)[:, 0].int()
    assert found[0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert found[1].tolist() == [[1, 0, 1, 1], [0, 1, 0, 0], [1, 0, 1, 1], [1, 0, 1, 1]]


@pytest.mark.parametrize(
    "valid", [((False, True, True, False),), torch.tensor([[False, True, True, False]]), torch.tensor([[0, 1, 1, 0]])]
)
def test_padding(valid):
    """A table of integers is as good as one of booleans."""
    found = Visible(valid=valid).dense(1, 1, AT, AT)
    assert found.dtype == torch.bool
    assert found[0, 0].int().tolist() == [[0, 1, 1, 0]] * 4


@pytest.mark.parametrize("mask", [Document, Visible])
def test_tables_of_another_size(mask):
    word = {Document: "ids", Visible: "valid"}[mask]
    rows = ((1, 1, 1), (1, 1, 1)) if mask is Document else ((True,) * 3,) * 2
    for batch, length in ((3, 3), (1, 3), (2, 4)):
        at = torch.arange(length)
        with pytest.raises(ConfigError, match=rf"shape \(2, 3\) for {batch} sequences of {length} tokens"):
            mask(**{word: rows}).dense(batch, 1, at, at)
    # A longer table serves the first tokens of cached decoding.
    assert mask(**{word: rows}).dense(2, 1, torch.arange(2), torch.arange(2)).all()
    with pytest.raises(ConfigError, match="shape"):
        mask(**{word: torch.ones(4, dtype=torch.int64)}).dense(1, 1, AT, AT)
