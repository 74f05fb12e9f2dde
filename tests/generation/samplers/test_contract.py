"""Every sampler chooses a token for each row, and all its randomness comes from the generator."""

import pytest
import torch

from paribus.core.config import from_dict, to_dict
from paribus.core.discovery import members
from paribus.generation.samplers.base import Sampler

EXAMPLES = [example for member in members(Sampler) for example in member.examples]


def test_every_member_has_examples():
    assert len({type(example) for example in EXAMPLES}) == len(members(Sampler)) > 1


@pytest.mark.parametrize("sampler", EXAMPLES, ids=repr)
class TestSampler:
    def choose(self, sampler, logits, seed):
        return sampler(logits, torch.Generator().manual_seed(seed))

    def test_a_token_for_each_row(self, sampler):
        logits = torch.randn(7, 13, generator=torch.Generator().manual_seed(0))
        tokens = self.choose(sampler, logits, 1)
        assert (tokens.shape, tokens.dtype) == ((7,), torch.int64)
        assert 0 <= int(tokens.min()) <= int(tokens.max()) < 13

    def test_a_seed_repeats_the_choice(self, sampler):
        logits = torch.randn(63, 13, generator=torch.Generator().manual_seed(0))
        torch.manual_seed(5)
        first = self.choose(sampler, logits, 1)
        torch.manual_seed(6)
        assert torch.equal(self.choose(sampler, logits, 1), first)

    def test_a_token_that_is_ruled_out_is_never_chosen(self, sampler):
        logits = torch.full((200, 3), 0.0)
        logits[:, 1] = -torch.inf
        assert 1 not in self.choose(sampler, logits, 1).tolist()

    def test_adding_a_constant_changes_nothing(self, sampler):
        logits = torch.randn(63, 13, generator=torch.Generator().manual_seed(0))
        assert torch.equal(self.choose(sampler, logits, 3), self.choose(sampler, logits + 2.0, 3))

    def test_it_is_read_back_from_json(self, sampler):
        assert from_dict(Sampler, to_dict(sampler)) == sampler
