"""Text comes in whole characters, and a stop string never shows."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import InputError
from paribus.generation.filters.temperature import Temperature
from paribus.generation.samplers.draw import Draw
from paribus.generation.text import Tail, complete, write
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.tokenizer.bytes import Bytes

WARM = Draw(filters=(Temperature(temperature=0.5),))


@pytest.fixture(scope="module")
def model():
    config = DecoderLM.Config(
        n_layers=1, d_model=16, mixer=GroupedQuery.Config(n_heads=2), feed_forward=FeedForward.Config(d_ff=16)
    )
    built = config.build()
    draw(built, 0)
    with torch.no_grad():
        built.embedding.weight.mul_(20)
    return built.eval()


@given(st.text(alphabet="abc", max_size=30), st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3))
def test_what_is_told_is_the_text_before_the_first_stop(text, stop):
    tail, told = Tail(stop), ""
    for letter in text:
        told += tail.add(letter.encode())
        if tail.stopped:
            break
    if not tail.stopped:
        told += tail.add(b"", final=True)
    # The stop that is complete first, and of those that end together the one that begins first.
    ends = [(text.find(word) + len(word), text.find(word)) for word in stop if word in text]
    assert told == (text[: min(ends)[1]] if ends else text)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_text_are_replaced_as_in_one_go(data):
    tail = Tail([])
    told = "".join(tail.add(bytes([byte])) for byte in data) + tail.add(b"", final=True)
    assert told == data.decode("utf-8", "replace")


def test_rows_come_together_and_are_what_they_are_alone(model):
    prompts = ["def ", "x", "class A:"]
    together = complete(model, Bytes(), prompts, 30)
    for prompt, one in zip(prompts, together, strict=True):
        assert complete(model, Bytes(), [prompt], 30) == [one]
        assert one.finished == "length"


def test_a_stop_string_ends_its_row_only(model):
    prompts = ["def ", "x", "class A:"]
    whole = [one.text for one in complete(model, Bytes(), prompts, 40, WARM, seed=1)]
    stop = whole[0][7:9]
    for full, cut in zip(whole, complete(model, Bytes(), prompts, 40, WARM, seed=1, stop=[stop]), strict=True):
        assert cut.text == full.split(stop)[0]
        assert cut.finished == ("stop" if stop in full else "length")


def test_an_end_token_ends_its_row_and_is_not_told(model):
    first = complete(model, Bytes(), ["def "], 1, WARM, seed=1)[0].text
    assert first
    ended = list(write(model, Bytes(), ["def "], 40, WARM, 1, end=range(256)))
    assert [(piece.text, piece.finished) for piece in ended] == [("", "end")]


def test_prompts_and_stops_that_make_no_sense(model):
    with pytest.raises(InputError, match="the prompt is empty"):
        write(model, Bytes(), [""], 3)
    with pytest.raises(InputError, match="a stop string is empty"):
        write(model, Bytes(), ["a"], 3, stop=[""])
