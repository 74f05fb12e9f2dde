"""What a method does to the angles of a model, on numbers that can be followed."""

import math

import pytest

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
