"""Every mask: its predicate pair by pair, what it says of causality, what it combines to, and that nothing leaks."""

import itertools

import pytest
import torch

from paribus.attention import backends
from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.anticausal import Anticausal
from paribus.attention.masks.base import Mask
from paribus.attention.masks.bidirectional import Bidirectional
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.combine import PerHead
from paribus.attention.masks.prefix import Prefix
from paribus.core.discovery import members
from paribus.core.errors import ConfigError
from paribus.layers.parameters import draw

HEADS = 4
EXAMPLES = [example for cls in members(Mask) for example in cls.examples]
every = pytest.mark.parametrize("mask", EXAMPLES, ids=str)


def batch_of(mask: Mask) -> int:
    """The batch that an example was made for; 2 where it serves any."""
    tables = [table for name in ("ids", "valid", "length") if isinstance(table := getattr(mask, name, None), tuple)]
    return len(tables[0]) if tables else 2


def fits(mask: Mask, batch: int, n: int) -> bool:
    try:
        mask.check_size(batch, n)
    except ConfigError:
        return False
    return True


def dense(mask: Mask, n: int, batch: int | None = None) -> torch.Tensor:
    """Boolean (batch, HEADS, n, n)."""
    batch = batch_of(mask) if batch is None else batch
    at = torch.arange(n)
    return mask.dense(batch, HEADS, at, at).expand(batch, HEADS, n, n)


def sizes(mask: Mask) -> list[int]:
    return [n for n in range(1, 9) if fits(mask, batch_of(mask), n)]


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Mask))
    assert all(sizes(mask) for mask in EXAMPLES)


@every
def test_dense_is_the_predicate_pair_by_pair(mask):
    for n in sizes(mask):
        found = dense(mask, n)
        assert found.dtype == torch.bool
        for where in itertools.product(range(batch_of(mask)), range(HEADS), range(n), range(n)):
            assert bool(mask(*map(torch.tensor, where))) == bool(found[where])


@every
def test_dense_keeps_the_width_of_the_scores(mask):
    """Later queries over all keys, as in cached decoding: a block of the whole mask."""
    n = sizes(mask)[-1]
    whole = dense(mask, n)
    for first in range(n):
        part = mask.dense(batch_of(mask), HEADS, torch.arange(first, n), torch.arange(n))
        assert part.shape[2:] == (n - first, n)
        assert torch.equal(part.expand(-1, HEADS, -1, -1).expand_as(whole[:, :, first:]), whole[:, :, first:])


@every
def test_causal_means_that_no_later_key_is_seen(mask):
    later = [dense(mask, n)[..., torch.ones(n, n, dtype=torch.bool).triu(1)] for n in sizes(mask)]
    assert mask.causal == (not any(bool(seen.any()) for seen in later))


@every
@pytest.mark.parametrize("other", EXAMPLES, ids=str)
def test_and_and_or(mask, other):
    for batch, n in itertools.product((1, 2), range(1, 9)):
        if fits(mask, batch, n) and fits(other, batch, n):
            one, two = dense(mask, n, batch), dense(other, n, batch)
            assert torch.equal(dense(mask & other, n, batch), one & two)
            assert torch.equal(dense(mask | other, n, batch), one | two)
    # What is said of causality must be safe: never True where a later key may be seen.
    assert (mask & other).causal == (mask.causal or other.causal)
    assert (mask | other).causal == (mask.causal and other.causal)


@every
def test_it_is_checked_inside_other_masks(mask):
    wrong = batch_of(mask) + 1
    if not fits(mask, wrong, 7):
        for outer in (mask & Causal(), Causal() | mask, PerHead(masks=(Causal(), mask), n_heads=HEADS)):
            with pytest.raises(ConfigError, match="sequences"):
                outer.dense(wrong, HEADS, torch.arange(7), torch.arange(7))


@pytest.mark.parametrize("dense_up_to", [0, 10_000])
@every
def test_nothing_leaks(mask, dense_up_to, monkeypatch):
    """Perturb token j: outputs i that may not see j in any head stay bit-identical, the others move."""
    monkeypatch.setattr(backends, "DENSE_UP_TO", dense_up_to)
    n, batch = sizes(mask)[-1], batch_of(mask)
    layer = GroupedQuery.Config(d_model=16, n_heads=HEADS, n_kv_heads=2, mask=mask).build()
    draw(layer, 0)
    x, at = torch.randn(batch, n, 16), torch.arange(n)[None]
    allowed = dense(mask, n).any(dim=1)
    before = layer(x, at)
    for j in range(n):
        moved = x.clone()
        moved[:, j] += torch.randn(16)
        changed = (layer(moved, at) != before).any(dim=-1)
        assert not (changed & ~allowed[:, :, j] & (torch.arange(n) != j)).any()
        seen = allowed[:, :, j]
        assert changed[seen].all()


def test_the_flip_of_causal_attention_is_anticausal_attention():
    layers = [GroupedQuery.Config(d_model=16, n_heads=4, mask=mask).build() for mask in (Causal(), Anticausal())]
    for layer in layers:
        draw(layer, 0)
    x, at = torch.randn(2, 7, 16), torch.arange(7)[None]
    flipped = layers[0](x.flip(1), at.flip(1)).flip(1)
    torch.testing.assert_close(flipped, layers[1](x, at))


@pytest.mark.parametrize("n", range(1, 9))
def test_a_prefix_between_causal_and_bidirectional(n):
    causal, bidirectional = dense(Causal(), n), dense(Bidirectional(), n)
    assert torch.equal(dense(Prefix(length=0), n), causal)
    assert torch.equal(dense(Prefix(length=1), n), causal)
    assert torch.equal(dense(Prefix(length=n), n), bidirectional)
    assert bidirectional.all()
    assert torch.equal(dense(Causal() & Anticausal(), n)[0, 0], torch.eye(n, dtype=torch.bool))
    assert torch.equal(dense(Causal() | Anticausal(), n), bidirectional)
    assert torch.equal(dense(PerHead(masks=(Causal(),) * 2, n_heads=HEADS), n), causal)
