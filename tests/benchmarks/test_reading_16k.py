"""How the benchmark chooses and goes on, with made-up losses; and the rotation of its own."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from paribus.attention.layout import Layout
from paribus.attention.piecewise import piecewise
from paribus.normalizers.softmax import Softmax
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.scaling.yarn import YaRN

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "reading_16k.py"
spec = importlib.util.spec_from_file_location("benchmarks_reading_16k", FILE)
assert spec is not None
assert spec.loader is not None
reading = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = reading  # dataclasses look their module up
spec.loader.exec_module(reading)


@pytest.fixture
def asked(monkeypatch):
    """What was measured; the later a method stands in the list, the better it reads."""
    place = {method.name: i for i, method in enumerate(reading.methods())}
    found: list[tuple[str, tuple[str, int]]] = []

    def measured(method, text):
        found.append((method.name, text))
        loss = 3.0 - 0.01 * place[method.name]
        return [loss - 0.5, loss + 0.5] if place[method.name] % 2 else [loss + 0.5, loss - 0.5]

    monkeypatch.setattr(reading, "measured", measured)
    return found


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_goes_on_where_it_was_stopped_and_judges_on_other_texts(asked, tmp_path, capsys):
    path = tmp_path / "results.jsonl"
    names = [method.name for method in reading.methods()]
    words = ["--results", str(path)]
    reading.main([*words, "--most", "3"])
    assert asked == [(name, reading.CHOOSE_ON[0]) for name in names[:3]]
    capsys.readouterr()
    reading.main([*words, "--json"])
    rounds = ((len(names), reading.CHOOSE_ON[:1]), (3 + 10, reading.CHOOSE_ON[1:]), (3 + 3, reading.JUDGE_ON))
    alone = sum(methods * len(texts) for methods, texts in rounds)
    best = names[-1]
    judged = {name for name, text in asked[:alone] if text in reading.JUDGE_ON}
    assert judged == {*names[:3], *names[-3:]}
    # Then what is to be mixed, wherever it was not read yet.
    mixed = {(name, text) for name in reading.MIXED for text in (*reading.CHOOSE_ON, *reading.JUDGE_ON)}
    assert set(asked[alone:]) == mixed - set(asked[:alone])
    every = len(set(asked[:alone]) | mixed)
    assert len(asked) == len(set(asked)) == len(lines(path)) == every
    told = json.loads(capsys.readouterr().out)
    assert [goal["met"] for goal in told["goals"]] == [True] * 4
    assert [goal["subject"].startswith(best) for goal in told["goals"]] == [True, True, False, False]
    assert all(goal["subject"].startswith("mixture: ") for goal in told["goals"][2:])
    reading.main([*words, "--show"])
    assert len(asked) == every
    assert f"| {best} |" in capsys.readouterr().out


def test_an_early_judgement(asked, tmp_path):
    words = ["--results", str(tmp_path / "results.jsonl")]
    reading.main([*words, "--most", "8"])
    reading.main([*words, "--judge"])
    names = [method.name for method in reading.methods()]
    assert {name for name, _ in asked[8:]} == {*names[:3], *names[5:8]}
    assert {text for _, text in asked[8:]} == set(reading.JUDGE_ON)


def test_a_method_that_was_changed_is_measured_again(asked, tmp_path):
    path = tmp_path / "results.jsonl"
    reading.main(["--results", str(path), "--most", "1"])
    path.write_text(path.read_text().replace("8192", "4096"))
    reading.main(["--results", str(path), "--most", "1"])
    assert asked[0] == asked[1]


def test_texts_to_judge_on_are_no_texts_to_choose_on():
    assert not set(reading.CHOOSE_ON) & set(reading.JUDGE_ON)


def test_a_mixture_is_the_mean_of_probabilities(asked, tmp_path):
    path = tmp_path / "results.jsonl"
    reading.main(["--results", str(path)])
    results = reading.Results(path, reading.methods())
    for mixture in reading.mixtures():
        each = torch.tensor([results.each[name, reading.GOAL[0]] for name in mixture.of], dtype=torch.float64)
        expected = -(-each).exp().mean(0).log().mean()
        assert results.loss[mixture.name, reading.GOAL[0]] == pytest.approx(float(expected))
    assert len(reading.mixtures()) == 11


@torch.no_grad()
def test_what_is_bent_beyond_a_window():
    """f_i(d) = d up to w, w + (d - w) theta'_i / theta_i beyond, each pair by itself."""
    n, w = 300, 40
    position = reading.Beyond(base=100.0, map=ReRoPE(window=w), others=YaRN(factor=3.0, train_length=100))
    q, k, v = torch.randn(3, 1, 2, n, 8, dtype=torch.float64)
    at, common = torch.arange(n)[None], {"scale": 0.4, "normalizer": Softmax()}
    found = piecewise(q, k, v, position=position, q_positions=at, k_positions=at, layout=Layout(), **common)
    theta = position.frequencies(8)
    distance = (at[0, :, None] - at[0]).clamp(min=0).double()[..., None]
    angle = theta * distance.clamp(max=w) + position.others(theta) * (distance - w).clamp(min=0)
    whole = (
        torch.complex(*q.chunk(2, dim=-1))[..., :, None, :] * torch.complex(*k.chunk(2, dim=-1)).conj()[..., None, :, :]
    )
    scores = 0.4 * (whole * torch.polar(torch.ones_like(angle), angle)).real.sum(dim=-1)
    hidden = torch.ones(n, n, dtype=torch.bool).triu(1)
    expected = scores.masked_fill(hidden, -torch.inf).softmax(dim=-1) @ v
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
