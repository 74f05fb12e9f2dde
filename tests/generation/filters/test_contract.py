"""Every filter leaves a token, keeps rows apart, and brings no NaN."""

import pytest
import torch

from paribus.core.config import from_dict, to_dict
from paribus.core.discovery import members
from paribus.generation.filters.base import Filter

EXAMPLES = [example for member in members(Filter) for example in member.examples]


def given(batch=6, vocab_size=13, n=9, seed=0):
    random = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, vocab_size, generator=random)
    seen = torch.randint(-1, vocab_size, (batch, n), generator=random)
    return logits, seen


def test_every_member_has_examples():
    assert len({type(example) for example in EXAMPLES}) == len(members(Filter)) > 1


@pytest.mark.parametrize("change", EXAMPLES, ids=repr)
class TestFilter:
    def test_a_token_is_left_in_every_row(self, change):
        logits, seen = given()
        for seen_now in (seen, seen[:, :0], torch.arange(13).repeat(6, 3)):
            out = change(logits, seen_now)
            assert out.shape == logits.shape
            assert not out.isnan().any()
            assert torch.isfinite(out).any(dim=-1).all()

    def test_what_was_ruled_out_stays_so(self, change):
        logits, seen = given()
        logits[:, 4] = -torch.inf
        assert torch.isneginf(change(logits, seen)[:, 4]).all()

    def test_a_row_does_not_depend_on_its_neighbours(self, change):
        logits, seen = given()
        together = change(logits, seen)
        for row in range(6):
            assert torch.equal(change(logits[row : row + 1], seen[row : row + 1])[0], together[row])

    def test_the_given_logits_are_left_alone(self, change):
        logits, seen = given()
        before = logits.clone()
        change(logits, seen)
        assert torch.equal(logits, before)

    def test_it_is_read_back_from_json(self, change):
        assert from_dict(Filter, to_dict(change)) == change
