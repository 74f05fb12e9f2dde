"""UniLM's mask: kv <= q or kv < length, one length for all sequences or one each."""

import pytest
import torch

from paribus.attention.masks.causal import Causal
from paribus.attention.masks.prefix import Prefix
from paribus.core.errors import ConfigError


def test_values():
    at = torch.arange(4)
    assert Prefix(length=3).dense(1, 1, at, at)[0, 0].int().tolist() == [
        [1, 1, 1, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 1],
    ]


@pytest.mark.parametrize("lengths", [(0, 2, 7), torch.tensor([0, 2, 7])], ids=str)
def test_one_length_a_sequence(lengths):
    at = torch.arange(7)
    found = Prefix(length=lengths).dense(3, 1, at, at)
    for b, length in enumerate((0, 2, 7)):
        assert torch.equal(found[b], Prefix(length=length).dense(1, 1, at, at)[0])


def test_what_is_causal():
    assert [Prefix(length=n).causal for n in (0, 1, 2)] == [True, True, False]
    assert Prefix(length=(0, 1)).causal
    assert not Prefix(length=torch.tensor([0, 2])).causal


@pytest.mark.parametrize("length", [-1, (-1, 2), (), 2.5, "3", torch.tensor([-1, 2])], ids=str)
def test_impossible_lengths(length):
    with pytest.raises(ConfigError, match=r"[Pp]refix"):
        Prefix(length=length)


@pytest.mark.parametrize("length", [torch.tensor([1.0]), torch.tensor(3)], ids=str)
def test_tensors_of_another_form(length):
    with pytest.raises(ConfigError, match=r"expected integers \(batch,\)"):
        Prefix(length=length)


def test_longer_than_the_sequence():
    at = torch.arange(5)
    for mask in (Prefix(length=6), Prefix(length=6) & Causal()):
        with pytest.raises(ConfigError, match="prefix length 6 is longer than the sequence of 5 tokens"):
            mask.dense(1, 1, at, at)
    with pytest.raises(ConfigError, match="2 prefix lengths for 3 sequences: give one a sequence"):
        Prefix(length=(1, 2)).dense(3, 1, at, at)
