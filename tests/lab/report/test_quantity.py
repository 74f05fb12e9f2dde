import math

import pytest

from paribus.lab.predictions import Greater
from paribus.lab.report.quantity import Quantity, clock, metric_words, number, p_value, sized

ACCURACY = Quantity("accuracy@512", "share of tokens", lower_is_better=False)
LOSS = Quantity("loss@512", "nats per token", lower_is_better=True)


@pytest.mark.parametrize(
    ("value", "scale", "shown"),
    [
        (0.123456, None, "0.1235"),
        (12.3456, 0.5, "12.35"),
        (12.3456, 0.05, "12.346"),
        (-0.0001, 0.1, "0.00"),
        (-1.5, 10.0, "−2"),
        (1234567.0, 100.0, "1,234,567"),
        (1.5e-9, None, "1.500e−9"),
        (2e15, None, "2.000e15"),
        (0.0, None, "0.000"),
        (0.0, 0.0, "0.000"),
        (math.inf, None, "∞"),
        (-math.inf, 1.0, "−∞"),
        (math.nan, None, "–"),
    ],
)
def test_digits_follow_the_spread(value: float, scale: float | None, shown: str) -> None:
    assert number(value, scale) == shown


def test_signs_are_true_and_zero_has_none() -> None:
    assert number(0.5, 0.1, sign=True) == "+0.50"
    assert number(-0.5, 0.1, sign=True) == "−0.50"
    assert number(-0.0001, 0.1, sign=True) == "0.00"


def test_a_share_is_shown_in_per_cent() -> None:
    assert ACCURACY.value(0.4921, 0.001) == "49.21 % of tokens"
    assert ACCURACY.difference(-0.0123, 0.001) == "−1.23"
    assert ACCURACY.amount(0.005) == "0.5 percentage points"
    assert LOSS.value(2.3, 0.01) == "2.300 nats per token"
    assert LOSS.amount(0.005) == "0.005 nats per token"
    assert Quantity("x", "", False).value(2.0, 0.1) == "2.00"
    assert not Quantity("x", "shares", False).is_share


def test_a_prediction_is_spelt_in_the_unit_shown() -> None:
    said = Greater("a", "x", than="y", metric="accuracy@512", by=0.03, provenance="blind", dated="2026-11-22")
    assert ACCURACY.sentence(said) == "x is better than y in accuracy@512 by more than 3 percentage points"
    assert "by more than 0.03 nats per token" in LOSS.sentence(said)


def test_small_words() -> None:
    assert metric_words("accuracy@512") == "accuracy at length 512"
    assert metric_words("accuracy@test") == "accuracy@test"
    assert metric_words("seconds") == "seconds"
    assert p_value(1e-9) == "< 0.0001"
    assert p_value(0.0312) == "0.031"
    assert p_value(1.0) == "1.00"
    assert sized(1.234e13, "FLOP") == "12.3 TFLOP"
    assert sized(0.0, "FLOP") == "0 FLOP"
    assert sized(1000.0, "B") == "1 kB"
    assert clock(3.21) == "3.2 s"
    assert clock(119.6) == "2 min 00 s"
    assert clock(7260) == "2 h 01 min"
