"""What a method does to the angles of a model, on numbers that can be followed."""

import math

import pytest
import torch

from paribus.context_extension.explain import explain, facts
from paribus.context_extension.words import known, method, numbers
from paribus.core.errors import InputError
from paribus.positions.rotary import Rotary
from paribus.theory.rope_base import lower_bound, max_length

LLAMA = {"hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 64, "rope_theta": 1e4}


def test_facts_of_a_config():
    assert facts(LLAMA) == (Rotary(base=1e4), 16, 64)
    extended = LLAMA | {"rope_parameters": {"rope_theta": 1e4, "original_max_position_embeddings": 32}}
    assert facts(extended)[2] == 32
    with pytest.raises(InputError, match="does not say max_position_embeddings"):
        facts({name: value for name, value in LLAMA.items() if name != "max_position_embeddings"})
    with pytest.raises(InputError, match="no value is guessed"):
        facts({name: value for name, value in LLAMA.items() if name != "rope_theta"})


def test_the_pairs_that_leave_are_those_that_never_turned_once():
    told = explain(Rotary(), 16, trained=64, asked=256, methods={})
    assert [pair.index for pair in told.pairs if pair.leaves] == [3, 4, 5, 6, 7]
    assert told.pairs[0].wavelength == pytest.approx(2 * math.pi)
    assert told.pairs[2].turns_trained == pytest.approx(64 * 1e4 ** (-4 / 16) / (2 * math.pi))
    assert (told.bound, told.reach) == (lower_bound(256, 16), max_length(1e4, 16))


def test_what_the_methods_do():
    filled = numbers(64, 256)
    words = sorted(known().keys() - {"longrope", "dynamic-ntk"})
    told = explain(Rotary(), 16, 64, 256, {word: method(word, filled) for word in words})
    effect = {one.name: one for one in told.effects}
    assert effect["plain"].pairs_outside == 5
    assert effect["plain"].largest_distance == 255
    for word in (
        "position-interpolation",
        "rerope",
        "leaky-rerope",
        "self-extend",
        "lm-infinite",
        "dual-chunk",
        "yarn",
    ):
        assert effect[word].pairs_outside == 0, word
    assert effect["rerope"].largest_distance == 16
    assert effect["position-interpolation"].fastest_change == pytest.approx(1 / 4)
    assert effect["ntk-aware"].fastest_change == pytest.approx(1)
    assert effect["ntk-aware"].slowest_arc == pytest.approx(255 / 256)
    assert effect["yarn"].spelled == "YaRN(factor=4.0, train_length=64)"
    assert effect["plain"].spelled == "Rotary()"
    assert effect["log-length"].score_factor == pytest.approx(math.log(256) / math.log(64))
    assert effect["yarn"].score_factor == pytest.approx((0.1 * math.log(4) + 1) ** 2)


def test_a_length_that_is_no_extension():
    with pytest.raises(InputError, match="--to 64: the model was trained at 64"):
        explain(Rotary(), 16, 64, 64, {})


def test_a_length_far_away_is_explained():
    """The search for the smallest base is stopped when its effort is spent, and no list of all keys is made."""
    words = sorted(known().keys() - {"longrope", "dynamic-ntk"})
    asked = 10**12
    told = explain(Rotary(), 64, 2048, asked, {word: method(word, numbers(2048, asked)) for word in words}, 3e8)
    assert not told.bound_found
    assert told.bound > lower_bound(8192, 64)
    largest = {one.name: one.largest_distance for one in told.effects}
    assert largest["plain"] == asked - 1
    assert largest["rerope"] == 512
    assert largest["dual-chunk"] == 2047
    assert largest["streaming-llm"] == 2047


@pytest.mark.parametrize("asked", [600, 5000, 9001])
def test_the_largest_distance_is_that_of_all_keys(asked):
    filled = numbers(300, asked)
    words = ("rerope", "leaky-rerope", "self-extend", "lm-infinite", "streaming-llm", "dual-chunk")
    told = explain(Rotary(), 16, 300, asked, {word: method(word, filled) for word in words})
    for word in words:
        (position_map,) = method(word, filled)
        m, n = torch.full((asked,), asked - 1), torch.arange(asked)
        seen = torch.stack([piece.pairs(m, n) for piece in position_map.causal_pieces()]).any(dim=0)
        found = {one.name: one.largest_distance for one in told.effects}[word]
        assert found == float(position_map(m[seen], n[seen]).max()), word
