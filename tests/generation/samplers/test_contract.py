"""Every sampler chooses a token for each row, and all its chance comes from the uniform numbers."""

from dataclasses import replace

import pytest
import torch

from paribus.core.config import from_dict, to_dict
from paribus.core.discovery import members
from paribus.core.errors import ConfigError
from paribus.generation.filters.repetition_penalty import RepetitionPenalty
from paribus.generation.samplers.base import Sampler

EXAMPLES = [example for member in members(Sampler) for example in member.examples]


def test_every_member_has_examples():
    assert len({type(example) for example in EXAMPLES}) >= len(members(Sampler)) > 1


@pytest.mark.parametrize("sampler", EXAMPLES, ids=repr)
class TestSampler:
    def choose(self, sampler, logits, seed):
        uniform = torch.rand(len(logits), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        return sampler(logits, torch.full((len(logits), 2), -1), uniform)

    def test_a_token_for_each_row(self, sampler):
        logits = torch.randn(7, 13, generator=torch.Generator().manual_seed(0))
        tokens = self.choose(sampler, logits, 1)
        assert (tokens.shape, tokens.dtype) == ((7,), torch.int64)
        assert 0 <= int(tokens.min()) <= int(tokens.max()) < 13

    def test_equal_numbers_give_equal_choices(self, sampler):
        logits = torch.randn(63, 13, generator=torch.Generator().manual_seed(0))
        torch.manual_seed(5)
        first = self.choose(sampler, logits, 1)
        torch.manual_seed(6)
        assert torch.equal(self.choose(sampler, logits, 1), first)

    def test_a_token_that_is_ruled_out_is_never_chosen(self, sampler):
        logits = torch.full((200, 4), 0.0)
        logits[:, [1, 3]] = -torch.inf
        assert not {1, 3} & set(self.choose(sampler, logits, 1).tolist())
        for edge in (0.0, 1 - 2**-53):
            uniform = torch.full((200,), edge, dtype=torch.float64)
            assert not {1, 3} & set(sampler(logits, torch.full((200, 2), -1), uniform).tolist())

    def test_adding_a_constant_changes_nothing(self, sampler):
        logits = torch.randn(63, 13, generator=torch.Generator().manual_seed(0))
        assert torch.equal(self.choose(sampler, logits, 3), self.choose(sampler, logits + 2.0, 3))

    def test_filters_that_leave_nothing(self, sampler):
        """Logits beyond what the filter's numbers can be multiplied with."""
        logits = torch.tensor([[-1.0, -2.0, 0.0]])
        cruel = replace(sampler, filters=(RepetitionPenalty(penalty=1e300),))
        with pytest.raises(ConfigError, match=r"RepetitionPenalty.*leave no token: take smaller numbers"):
            cruel(logits, torch.tensor([[0, 1, 2]]), torch.zeros(1, dtype=torch.float64))

    def test_it_is_read_back_from_json(self, sampler):
        assert from_dict(Sampler, to_dict(sampler)) == sampler
