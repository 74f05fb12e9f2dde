"""Every placing: a place follows from the tokens before it alone, however they are cut, and text goes on behind."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.core.config import from_dict, to_dict
from paribus.core.discovery import members
from paribus.core.errors import ConfigError
from paribus.positions.placing.base import Placing
from paribus.positions.placing.tied import Tied

EXAMPLES = [example for cls in members(Placing) for example in cls.examples]
every = pytest.mark.parametrize("placing", EXAMPLES, ids=str)


def image(placing: Placing, rows: int, columns: int) -> list[int]:
    return [placing.image, placing.sizes + rows, placing.sizes + columns, *[99] * (rows * columns)]


def places(placing: Placing, tokens: list[int], first: int = 0) -> torch.Tensor:
    return placing(torch.tensor([tokens]), torch.arange(first, first + len(tokens))[None])[0]


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Placing))
    for one in EXAMPLES:
        assert from_dict(Placing, to_dict(one)) == one


@every
def test_text_is_a_line_of_steps_of_one(placing):
    found = places(placing, [0, 1, 2, 3, 0, 7, 8])
    assert torch.equal(found[:, 1], torch.arange(7))
    assert set(found.diff(dim=0)[:, 0].tolist()) <= {0, 1}


@every
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (3, 2), (8, 8)])
def test_text_after_an_image_goes_on_so_many_positions_later(placing, rows, columns):
    found = places(placing, [0, *image(placing, rows, columns), 5, 5], first=10)
    used = int(placing.used(torch.tensor(rows), torch.tensor(columns)))
    assert found[-2:, 1].tolist() == [14 + used, 15 + used]  # after one letter, the mark and two sizes
    patches = found[4:-2].view(rows, columns, 2)
    # Rows differ in the first coordinate, columns in the second, evenly; both grow.
    for axis, size in ((0, rows), (1, columns)):
        steps = patches.diff(dim=axis)
        assert (steps[..., 1 - axis] == 0).all()
        if size > 1:
            torch.testing.assert_close(steps[..., axis], steps[..., axis].flatten()[0].expand_as(steps[..., axis]))
            assert (steps[..., axis] > 0).all()


# Tokens of all kinds in any order, images that are cut short and marks without sizes among them.
streams = st.lists(st.sampled_from([0, 4, 4, 7, 8, 9, 9, 99, 99, 99]), min_size=1, max_size=30)


@every
@settings(max_examples=40, deadline=None)
@given(tokens=streams, cut=st.integers(0, 30), first=st.integers(0, 1000))
def test_a_place_depends_on_no_later_token_and_on_no_cut(placing, tokens, cut, first):
    whole = places(placing, tokens, first)
    assert whole.shape == (len(tokens), 2)
    stop = min(cut, len(tokens) - 1) + 1
    assert torch.equal(places(placing, tokens[:stop], first), whole[:stop])
    last = torch.arange(first + stop - 1, first + stop)[None]
    assert torch.equal(placing(torch.tensor([tokens[:stop]]), last)[0], whole[stop - 1 : stop])


@every
@settings(max_examples=20, deadline=None)
@given(streams=st.lists(streams, min_size=2, max_size=3))
def test_rows_do_not_meet(placing, streams):
    length = max(map(len, streams))
    rows = torch.tensor([[0] * (length - len(one)) + one for one in streams])
    at = torch.arange(length)[None]
    assert torch.equal(placing(rows, at), torch.cat([placing(row[None], at) for row in rows]))


@every
def test_what_is_no_image_is_text(placing):
    mark, size = placing.image, placing.sizes + 2
    for tokens in ([mark], [0, mark, size], [mark, size, 0, 0, 0], [mark, 0, size, 0], [mark, mark, 0, 1]):
        text = places(placing, [0] * len(tokens))
        assert torch.equal(places(placing, tokens), text)


@every
def test_a_mark_ends_an_image_that_is_not_whole(placing):
    cut, second = image(placing, 2, 2)[:5], image(placing, 1, 2)
    found = places(placing, [*cut, *second, 0])
    used = int(placing.used(torch.tensor(2), torch.tensor(2)))
    # Two patches are missing, and the image counts as if they were not.
    assert found[5, 1] == 5 + used - 4
    alone = places(placing, [*second, 0], first=int(found[5, 1]))
    torch.testing.assert_close(found[5:, 1], alone[:, 1])


def test_bad_fields():
    with pytest.raises(ConfigError, match="largest = 0"):
        Tied(image=1, sizes=2, largest=0)
    with pytest.raises(ConfigError, match="image = -1, sizes = 2: expected a token of the vocabulary"):
        Tied(image=-1, sizes=2, largest=3)
    with pytest.raises(ConfigError, match="image = 4 is the size 2 too: give the mark a token of its own"):
        Tied(image=4, sizes=2, largest=3)
    with pytest.raises(ConfigError, match="v3"):
        Tied(image=1, sizes=2, largest=3, mode="v3")
