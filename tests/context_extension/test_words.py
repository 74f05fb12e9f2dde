import re

import pytest
import torch

from paribus.attention.scales.log_length import LogLength
from paribus.context_extension.words import kebab, known, method, numbers, with_given
from paribus.core.errors import InputError
from paribus.positions.maps.leaky_rerope import LeakyReRoPE
from paribus.positions.maps.lm_infinite import LMInfinite
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.maps.streaming import StreamingLLM
from paribus.positions.scaling.ntk_aware import NTKAware
from paribus.positions.scaling.position_interpolation import PositionInterpolation
from paribus.positions.scaling.yarn import YaRN

NUMBERS = {"": {"factor": 4.0, "window": 16, "train_length": 64}}


def test_words_are_the_names_of_the_classes():
    assert [
        kebab(name) for name in ("NTKAware", "ReRoPE", "LeakyReRoPE", "YaRN", "Llama3", "LongRoPE", "LogLength")
    ] == [
        "ntk-aware",
        "rerope",
        "leaky-rerope",
        "yarn",
        "llama3",
        "longrope",
        "log-length",
    ]
    assert {"ntk-aware", "rerope", "yarn", "log-length", "position-interpolation"} <= known().keys()


def test_numbers_go_where_they_are_named():
    assert method("rerope", NUMBERS) == [ReRoPE(window=16)]
    assert method("pi", NUMBERS) == [PositionInterpolation(factor=4.0)]
    own = {"log-length": {"base": 64.0, "at_least_one": True}}
    assert method("ntk-aware + log-length", NUMBERS | own) == [
        NTKAware(factor=4.0),
        LogLength(base=64.0, at_least_one=True),
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("rope", r"no method 'rope'; did you mean"),
        ("longrope", "longrope needs factors: give --set factors=NUMBER"),
        ("rerope+", "no method ''"),
    ],
)
def test_words_that_are_no_method(words, told):
    with pytest.raises(InputError, match=told):
        method(words, NUMBERS)


def test_numbers_that_a_method_refuses():
    with pytest.raises(InputError, match=r"ntk-aware: factor = 0\.5"):
        method("ntk-aware", {"": {"factor": 0.5}})


def test_every_method_but_the_searched_one_has_its_numbers():
    filled = numbers(trained=64, asked=256)
    for word in known().keys() - {"longrope"}:
        assert len(method(word, filled)) == 1
    assert method("rerope", filled) == [ReRoPE(window=16)]
    assert method("streaming-llm", filled) == [StreamingLLM(window=60)]
    assert method("lm-infinite", numbers(64, 256, window=20)) == [LMInfinite(window=20)]
    # Distances of the last query fit into half of the trained length.
    assert float(method("leaky-rerope", filled)[0](torch.tensor(255), torch.tensor(0))) <= 32
    with pytest.raises(InputError, match=r"--window 65: expected 1 to 64"):
        numbers(64, 256, window=65)


def test_numbers_of_the_user():
    filled = with_given(numbers(64, 256), {"window": 8, "yarn.ramp": "paper", "leaky.factor": 3.0})
    assert method("rerope", filled) == [ReRoPE(window=8)]
    assert method("streaming-llm", filled) == [StreamingLLM(window=8)]
    assert method("leaky", filled) == [LeakyReRoPE(window=8, factor=3.0)]
    assert method("yarn", filled) == [YaRN(factor=4.0, train_length=64, ramp="paper")]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("windw", "--set windw: no method has a 'windw'; did you mean window"),
        ("pi.window", "--set pi.window: position-interpolation has no 'window'; known: factor"),
        ("yran.factor", "--set yran.factor: no method 'yran'; did you mean yarn"),
    ],
)
def test_names_that_no_method_has(name, told):
    with pytest.raises(InputError, match=re.escape(told)):
        with_given(numbers(64, 256), {name: 1})
