"""Compact letters: two arms share one exactly if they were not shown to differ."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from paribus.lab.max_t import max_t
from paribus.lab.predictions import Greater
from paribus.lab.ranking import letters, rank, rankings
from paribus.lab.statistics import holm
from paribus.lab.verdict import Measure

HIGH, LOW = {"score": Measure("1")}, {"score": Measure("1", lower_is_better=True)}


def results(table):
    """arm -> replicate -> metric, from one row an arm."""
    return {f"arm{i}": {s: {"score": float(x)} for s, x in enumerate(row)} for i, row in enumerate(table)}


@given(st.integers(2, 8).flatmap(lambda k: st.tuples(st.just(k), st.sets(st.tuples(*[st.integers(0, k - 1)] * 2)))))
@settings(max_examples=300)
def test_letters_say_exactly_what_differs(drawn):
    """Whatever pairs differ, also where that is no order at all."""
    k, pairs = drawn
    order = [f"arm{i}" for i in range(k)]
    differing = [(order[i], order[j]) for i, j in pairs if i != j]
    apart = {frozenset(pair) for pair in differing}
    shown = letters(order, differing)
    assert all(shown.values())
    for a, b in itertools.combinations(order, 2):
        assert bool(set(shown[a]) & set(shown[b])) == (frozenset((a, b)) not in apart)
    used = "".join(sorted(set("".join(shown.values()))))
    assert used == "abcdefghijklmnopqrstuvwxyz"[: len(used)]
    if order:
        assert "a" in shown[order[0]]
    # No letter can be spared: each joins two arms that no other does, or is the only one of its arm.
    for letter in used:
        rest = {arm: set(own) - {letter} for arm, own in shown.items()}
        assert any(not own for own in rest.values()) or any(
            letter in shown[a] and letter in shown[b] and not rest[a] & rest[b]
            for a, b in itertools.combinations(order, 2)
        )


def test_the_usual_picture():
    """Neighbours overlap: the textbook's a, ab, b, c."""
    order = ["one", "two", "three", "four"]
    differing = [("one", "three"), ("one", "four"), ("two", "four"), ("three", "four")]
    assert letters(order, differing) == {"one": "a", "two": "ab", "three": "b", "four": "c"}
    assert letters(order, []) == dict.fromkeys(order, "a")
    assert list(letters(order, list(itertools.combinations(order, 2))).values()) == ["a", "b", "c", "d"]


def test_more_letters_than_the_alphabet_has():
    order = [f"arm{i}" for i in range(54)]
    shown = letters(order, itertools.combinations(order, 2))
    assert [shown[order[i]] for i in (0, 25, 26, 51, 52, 53)] == ["a", "z", "A", "Z", "(53)", "(54)"]


@given(st.integers(3, 5), st.integers(2, 9), st.integers(0, 10_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_ranking_from_raw_numbers(k, n, seed, lower):
    """Every pair's t by itself under Holm, its signs under max-T, and no other rule."""
    random = np.random.default_rng(seed)
    table = random.standard_normal((1, n)) + 0.5 * random.standard_normal((k, n)) + np.arange(k)[:, None]
    random.shuffle(table)
    found = rank("score", results(table), LOW if lower else HIGH)
    means = [place.mean for place in found.places]
    assert means == sorted(means, reverse=not lower)
    pairs = list(itertools.combinations(found.places, 2))
    differences = [table[int(a.arm[3:])] - table[int(b.arm[3:])] for a, b in pairs]
    by_t = holm([float(stats.ttest_1samp(d, 0.0).pvalue) for d in differences])
    for (a, b), told, step, p in zip(pairs, found.pairs, by_t, max_t(differences)):
        assert (told.arm, told.than) == (a.arm, b.arm)
        assert told.p_t == pytest.approx(step.p, rel=1e-6)
        assert told.p_signflip == pytest.approx(p, abs=1e-12)
        assert told.differ == (max(step.p, p) <= 0.05)
        assert told.paired.mean >= 0
        assert bool(set(a.letters) & set(b.letters)) != told.differ


def test_any_false_difference_among_equal_arms():
    """Four arms that do not differ at all: one letter for all in at least 95 % of rankings."""
    claims = 300
    random = np.random.default_rng(5)
    tables = random.standard_normal((claims, 1, 8)) + random.standard_normal((claims, 4, 8))
    wrong = sum(any(place.letters != "a" for place in rank("score", results(t), HIGH).places) for t in tables)
    assert 0.005 <= wrong / claims <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / claims)


def test_clear_differences_are_found():
    table = np.random.default_rng(6).standard_normal((4, 8)) * 0.01 + np.arange(4)[:, None]
    found = rank("score", results(table), LOW)
    assert [(place.arm, place.letters) for place in found.places] == [
        ("arm0", "a"),
        ("arm1", "b"),
        ("arm2", "c"),
        ("arm3", "d"),
    ]


def test_which_metrics_are_ranked():
    told = {"provenance": "blind", "dated": "2026-11-22"}
    predictions = [
        Greater("one", "arm0", than="arm1", metric="score", **told),
        Greater("two", "arm0", than="arm2", metric="speed", **told),
        Greater("three", "arm1", than="arm2", metric="score", **told),
    ]
    three = {f"arm{i}": {s: {"score": i + s / 7, "speed": 1.0} for s in range(3)} for i in range(3)}
    measures = {**HIGH, "speed": Measure("1/s")}
    found = rankings(predictions, "two", three, measures)
    assert [one.metric for one in found] == ["speed", "score"]
    assert {place.letters for place in found[0].places} == {"a"}
    assert rankings(predictions[:1], "one", {"arm0": three["arm0"], "arm1": three["arm1"]}, measures) == ()
    single = {arm: {0: found[0]} for arm, found in three.items()}
    assert rankings(predictions, "two", single, measures) == ()
    entry = found[1].entry()
    assert [one["arm"] for one in entry["arms"]] == ["arm2", "arm1", "arm0"]
    first = entry["pairs"][0]
    assert (first["arm"], first["than"], first["differ"]) == ("arm2", "arm1", False)
    assert (entry["n"], entry["unit"], entry["alpha"]) == (3, "1", 0.05)
