"""RoPE-2D and RoPE-Tie: text is RoPE, images are symmetric between their text, worked examples."""

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import ConfigError
from paribus.layers.parameters import draw
from paribus.positions.pairing.half_split import HalfSplit
from paribus.positions.pairing.interleaved import Interleaved
from paribus.positions.rotary import Rotary
from paribus.positions.rotary_2d import Rotary2D
from paribus.positions.tie import ImageGrid, Places, TextRun

MODES = ["integer", "fractional", "v2"]


@pytest.mark.parametrize("pairing", [HalfSplit(), Interleaved()], ids=str)
def test_text_is_turned_as_rope_turns_it(pairing):
    x, at = torch.randn(2, 3, 7, 12), torch.arange(7)[None] * 13
    expected = Rotary(pairing=pairing).rotate(x, at)
    both = Rotary2D(pairing=pairing)
    assert torch.equal(both.rotate(x, at), expected)
    assert torch.equal(both.rotate(x, at[..., None].expand(-1, -1, 2)), expected)


def test_two_rotations_in_brute_force():
    """d = 4: the first pair by x, the second by y times its own frequency."""
    x = torch.randn(1, 1, 1, 4, dtype=torch.float64)
    turned = Rotary2D(base=100.0, pairing=Interleaved()).rotate(x, torch.tensor([[[3.0, 5.0]]])).flatten()
    for pair, angle in ((0, 3.0), (1, 5.0 * 0.1)):
        c, s = torch.tensor(angle).double().cos(), torch.tensor(angle).double().sin()
        a, b = x.flatten()[2 * pair : 2 * pair + 2]
        torch.testing.assert_close(turned[2 * pair : 2 * pair + 2], torch.stack((a * c - b * s, a * s + b * c)))


def test_scores_depend_on_both_distances():
    q, k = torch.randn(2, 1, 2, 5, 8, dtype=torch.float64)
    at, moved = torch.randint(0, 50, (1, 5, 2)), torch.tensor([7, 31])
    rope = Rotary2D()
    here = rope.rotate(q, at) @ rope.rotate(k, at).mT
    there = rope.rotate(q, at + moved) @ rope.rotate(k, at + moved).mT
    torch.testing.assert_close(here, there)


@torch.no_grad()
def test_a_layer_reads_places():
    """Whole and in chunks, with two coordinates a token."""
    layer = GroupedQuery.Config(d_model=16, n_heads=2, position=Rotary2D()).build()
    draw(layer, 0)
    at = Places()([TextRun(3), ImageGrid(2, 2), TextRun(4)])[None]
    x = torch.randn(1, 11, 16)
    whole, state = layer(x, at), layer.start(1, 11, torch.float32, torch.device("cpu"))
    parts = [layer.prefill(x[:, low:high], at[:, low:high], state)[0] for low, high in ((0, 5), (5, 6), (6, 11))]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(layer(x, torch.arange(11)[None]), whole)


def test_the_worked_example():
    """Text that ends at 4, an image of 2 rows and 3 columns, text from 16 on."""
    found = Places()([TextRun(4), ImageGrid(2, 3), TextRun(1)])
    assert found[:4].tolist() == [[n, n] for n in range(1, 5)]
    assert found[4:10].tolist() == [[x, y] for x in (8, 12) for y in (7, 10, 13)]
    assert found[10].tolist() == [16, 16]


def test_an_image_of_one_patch():
    found = Places()([TextRun(5), ImageGrid(1, 1), TextRun(1)])
    assert found[5:].tolist() == [[7, 7], [9, 9]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 5), (2, 3), (7, 4), (16, 16)])
def test_images_are_symmetric_between_their_text(mode, h, w):
    """First patch - last text = next text - last patch, on both axes; transposing an image swaps the axes."""
    found = Places(mode)([TextRun(3), ImageGrid(h, w), TextRun(1)])
    torch.testing.assert_close(found[3] - found[2], found[-1] - found[-2])
    other = Places(mode)([TextRun(3), ImageGrid(w, h), TextRun(1)])
    patches, turned = found[3:-1].view(h, w, 2), other[3:-1].view(w, h, 2)
    torch.testing.assert_close(patches.transpose(0, 1).flip(-1), turned)
    used = (w + 1) * (h + 1) if mode == "integer" else w * h + 1
    assert found[-1].tolist() == [3 + used, 3 + used]
    if mode == "v2":
        assert (patches.diff(dim=0)[..., 0] == 1).all()
        assert (patches.diff(dim=1)[..., 1] == 1).all()


@pytest.mark.parametrize("mode", MODES)
def test_places_come_piece_by_piece(mode):
    segments = [TextRun(2), ImageGrid(2, 3), TextRun(1), TextRun(0), TextRun(3), ImageGrid(1, 2)]
    whole, places = Places(mode)(segments), Places(mode)
    assert torch.equal(torch.cat([places([one]) for one in segments]), whole)
    assert whole.dtype == (torch.int64 if mode == "integer" else torch.float64)


def test_bad_input():
    with pytest.raises(ConfigError, match="two images without text between them"):
        Places()([ImageGrid(1, 1), ImageGrid(1, 1)])
    with pytest.raises(ConfigError, match="an image of 0 x 3 patches"):
        Places()([ImageGrid(0, 3)])
    with pytest.raises(ConfigError, match="tokens = -1: expected 0 or more"):
        Places()([TextRun(-1)])
    with pytest.raises(ConfigError, match="mode = 'v3'"):
        Places("v3")
    with pytest.raises(ConfigError, match="head_dim = 6: two coordinates share pairs evenly"):
        GroupedQuery.Config(d_model=24, n_heads=4, position=Rotary2D())
