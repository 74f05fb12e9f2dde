"""Each patch asks for the one above it; two ways of writing say the same; new widths are no larger pictures."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.core.errors import ConfigError
from paribus.data.batch import IGNORED
from paribus.data.synthetic.copy_task import Copy
from paribus.data.synthetic.patch_above import LATER, PatchAbove


def parsed(task: PatchAbove, tokens: list[int], targets: list[int]):
    """(grid, asked grid, letters before, letters after) of a row, read as its format says."""
    start = tokens.index(task.image)
    h, w = tokens[start + 1] - task.sizes, tokens[start + 2] - task.sizes
    columns = w + task.separators
    stop = start + 3 + h * columns
    assert tokens[stop] == task.image + 1
    grid, asked = (np.array(row[start + 3 : stop]).reshape(h, columns) for row in (tokens, targets))
    if task.separators:
        assert (grid[:, -1] == task.image + 2).all()
        assert (asked[:, -1] == IGNORED).all()
        grid, asked = grid[:, :-1], asked[:, :-1]
    others = targets[: start + 3] + targets[stop:]
    assert set(others) == {IGNORED}
    return grid, asked, tokens[:start], tokens[stop + 1 :]


@settings(max_examples=40, deadline=None)
@given(
    patches=st.integers(4, 20),
    widths=st.sets(st.integers(2, 10), min_size=1),
    symbols=st.integers(2, 9),
    letters=st.integers(1, 4),
    separators=st.booleans(),
    extra=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_what_stands_above(patches, widths, symbols, letters, separators, extra, seed):
    widths = tuple(min(width, patches // 2) for width in widths)
    task = PatchAbove(
        widths=tuple(dict.fromkeys(widths)), patches=patches, symbols=symbols, letters=letters, separators=separators
    )
    length = 4 + patches + patches // min(widths) + LATER + extra
    tokens, targets = task.draw(np.random.default_rng(seed), 3, length)
    assert tokens.shape == targets.shape == (3, length)
    for row in range(3):
        grid, asked, before, after = parsed(task, tokens[row].tolist(), targets[row].tolist())
        assert grid.shape[0] >= 2
        assert grid.shape[1] in widths
        assert grid.size <= patches
        assert (asked[0] == IGNORED).all()
        np.testing.assert_array_equal(asked[1:], grid[:-1])
        assert grid.min() >= task.first_symbol
        assert len(after) <= LATER
        assert all(letter < letters for letter in before + after)
    assert tokens.max() < task.vocab_size


def test_both_ways_of_writing_have_equal_content():
    plain, separated = PatchAbove(), PatchAbove(separators=True)
    assert plain.content == separated.content == plain
    assert plain.content != PatchAbove(widths=(3, 4)).content
    assert Copy().content == Copy()
    for ask in (
        lambda task: task.prepare().batches(3, 5, 32).batch(7),
        lambda task: task.prepare().windows("dev", 5, 32),
    ):
        one, other = ask(plain), ask(separated)
        assert one.digest == other.digest
        assert not np.array_equal(one.tokens, other.tokens)
        for row in range(5):
            first, second = (
                parsed(task, batch.tokens[row].tolist(), batch.targets[row].tolist())
                for task, batch in ((plain, one), (separated, other))
            )
            np.testing.assert_array_equal(first[0], second[0])
            np.testing.assert_array_equal(first[1], second[1])
            assert first[3] == second[3]
            assert first[2][: len(second[2])] == second[2]


def test_every_width_and_height_comes():
    task = PatchAbove()
    tokens, _ = task.draw(np.random.default_rng(0), 400, 32)
    rows, at = np.arange(400), (tokens == task.image).argmax(axis=1)
    sizes = {(int(h), int(w)) for h, w in zip(tokens[rows, at + 1] - task.sizes, tokens[rows, at + 2] - task.sizes)}
    assert sizes == {(h, w) for w in (3, 4, 5) for h in range(2, 18 // w + 1)}
    wide = replace(task, widths=(9,))
    assert (wide.vocab_size, wide.chance) == (task.vocab_size, 1 / 8)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"patches": 3}, "patches = 3: expected at least 4"),
        ({"widths": ()}, r"widths = \(\): expected at least one width"),
        ({"widths": (3, 3)}, "none of them twice"),
        ({"widths": (3, 10)}, "two rows of at most 18 patches have 2 to 9 columns"),
        ({"widths": (1,)}, "2 to 9 columns"),
        ({"symbols": 1}, "1 symbols and 4 letters"),
        ({"letters": 0}, "8 symbols and 0 letters"),
    ],
)
def test_impossible_tasks(changed, words):
    with pytest.raises(ConfigError, match=words):
        PatchAbove(**changed)


def test_too_short():
    with pytest.raises(ConfigError, match="needs a length of at least 31, not 30"):
        PatchAbove().prepare().windows("test", 2, 30)
