"""The choice by measurement: made once, written down with the run and on the machine, and kept to."""

import json
from functools import partial

import pytest
import torch

from paribus.attention import backends, programs
from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.programs import Programs, current
from paribus.normalizers.softmax import Softmax
from paribus.normalizers.sparsemax import Sparsemax
from paribus.ops import kernels
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary

RULED = backends.Choice("materialised", "materialised: by rule")
SHAPE = "batch 2, heads 4 / 2, length to 16, width 8 / 6, float32, threads 1"


@pytest.fixture
def some():
    return torch.randn(2, 4, 9, 8), torch.randn(2, 2, 9, 8), torch.randn(2, 2, 9, 6)


@pytest.fixture
def measured(monkeypatch):
    """Times that are told instead of taken, on a processor of which we know no kernel; what is asked is counted."""
    told, asked = {"fused": 3.0, "materialised": 1.0, "tiled": 2.0, "native": 2.5}, []

    def measure(ways, like):
        asked.append(sorted(ways))
        return {name: told[name] for name in ways}

    monkeypatch.setattr(programs, "_measure", measure)
    monkeypatch.setattr(backends, "FEW", 0)
    monkeypatch.setattr(backends, "our_kernels", lambda *heads: [])
    return told, asked


def choice(at_work, some, able=()):
    with at_work.at_work():
        return backends.choose_causal(RULED, *some, 0.5, able)


def test_once_a_machine_and_kept_with_the_run(tmp_path, some, measured):
    told, asked = measured
    cache = tmp_path / "user" / "programs.json"
    first = choice(Programs(tmp_path / "a.json", cache), some)
    assert first == ("materialised", "materialised: 1 ms against 3 (fused), measured on this machine")
    told["materialised"] = 5.0
    # Another run on this machine takes what was found; a run that goes on takes its own, whatever the machine says now.
    assert choice(Programs(tmp_path / "b.json", cache), some).program == "materialised"
    cache.unlink()
    assert choice(Programs(tmp_path / "a.json", cache), some).program == "materialised"
    assert asked == [["fused", "materialised"]]
    assert choice(Programs(tmp_path / "c.json", cache), some).program == "fused"
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["schema"] == "paribus.programs/1"
    assert content["shapes"] == {SHAPE: {"fused": 3.0, "materialised": 5.0}}
    assert content["machine"] == programs.machine()
    assert content["machine"]["torch"] == torch.__version__


def test_another_machine_or_a_damaged_file_is_measured_again(tmp_path, some, measured):
    told, asked = measured
    cache = tmp_path / "programs.json"
    choice(Programs(None, cache), some)
    content = json.loads(cache.read_text())
    content["machine"]["processor"] = "another"
    cache.write_text(json.dumps(content))
    told["fused"] = 0.5
    assert choice(Programs(None, cache), some).program == "fused"
    for damage in ("{", "[]", '{"schema": "other"}'):
        cache.write_text(damage)
        assert choice(Programs(None, cache), some).program == "fused"
    assert len(asked) == 5


def test_a_run_from_a_machine_with_other_programs(tmp_path, some, measured):
    """What was fastest there may be absent here; then the fastest of the others is taken."""
    _, asked = measured
    record = tmp_path / "programs.json"
    record.write_text(
        json.dumps(
            {
                "schema": "paribus.programs/1",
                "machine": {},
                "shapes": {SHAPE: {"tiled": 1, "fused": 2, "materialised": 3}},
            }
        )
    )
    assert choice(Programs(record, tmp_path / "cache.json"), some).program == "fused"
    assert asked == []


def test_a_program_that_is_new_is_measured_and_a_run_that_goes_on_keeps_to_its_own(tmp_path, some, measured):
    told, asked = measured
    cache, record = tmp_path / "programs.json", tmp_path / "a.json"
    told["tiled"] = 0.5
    assert choice(Programs(record, cache), some).program == "materialised"
    assert choice(Programs(None, cache), some, able=["tiled"]).program == "tiled"
    assert choice(Programs(record, cache), some, able=["tiled"]).program == "materialised"
    assert asked == [["fused", "materialised"], ["fused", "materialised", "tiled"]]


def test_the_rule_where_nothing_is_measured(tmp_path, some, measured, monkeypatch):
    at_work = Programs(None, tmp_path / "programs.json")
    assert backends.choose_causal(RULED, *some, 0.5, False) == RULED
    with torch.no_grad():
        assert choice(at_work, some) == RULED
    monkeypatch.setattr(backends, "FEW", 2**20)
    assert choice(at_work, some) == RULED
    assert measured[1] == []
    assert current() is None


def test_scores_too_many_to_keep_are_not_tried(tmp_path, some, measured, monkeypatch):
    monkeypatch.setattr(backends, "MANY", 100)
    assert choice(Programs(None, tmp_path / "programs.json"), some).program == "fused"
    assert measured[1] == [["fused"]]


def test_a_folder_that_cannot_be_written(tmp_path, some, measured):
    (tmp_path / "file").write_text("")
    assert choice(Programs(tmp_path / "file" / "a.json", tmp_path / "file" / "b.json"), some).program == "materialised"


def test_what_is_measured_is_a_time(some):
    ways = {"fused": partial(backends.fused, scale=0.5, mask=None, causal=True)}
    times = programs._measure(ways, some)
    assert times.keys() == {"fused"}
    assert times["fused"] > 0


def test_one_measurement_for_all_lengths_up_to_a_power_of_two(tmp_path, some, measured):
    at_work = Programs(None, tmp_path / "programs.json")
    for n, times in ((9, 1), (16, 1), (15, 1), (17, 2), (8, 3)):
        choice(at_work, [torch.randn(2, x.shape[1], n, x.shape[3]) for x in some])
        assert len(measured[1]) == times


def test_a_hopeless_program_is_tried_once(monkeypatch):
    clock, calls = [0.0], []

    def program(name, seconds):
        def work(q, k, v):
            calls.append(name)
            clock[0] += seconds[min(calls.count(name), len(seconds)) - 1]
            return q + k + v

        return work

    monkeypatch.setattr(programs.time, "perf_counter", lambda: clock[0])
    ways = {
        "slow": program("slow", [5.0]),
        "one": program("one", [2.0, 1.0]),
        "other": program("other", [1.1, 1.5, 1.2]),
    }
    x = torch.randn(1, 1, 1, 1)
    assert programs._measure(ways, (x, x, x)) == {"slow": 5000.0, "one": 1000.0, "other": 1200.0}
    assert calls.count("slow") == 1


@pytest.mark.parametrize("program", ["fused", "materialised", "native"])
def test_the_choice_is_what_runs(program, tmp_path, some, measured, monkeypatch):
    told, _ = measured
    told[program] = 0.1
    called = []
    if program == "native":
        if not kernels.attends(*some):
            pytest.skip("our kernel needs an x86 processor")
        monkeypatch.setattr(backends, "our_kernels", lambda *heads: ["native"])
    functions = {"fused": "fused", "materialised": "materialised", "native": "causal_by_kernel"}
    for name, function in functions.items():
        work = getattr(backends, function)
        monkeypatch.setattr(
            backends, function, lambda *a, _name=name, _work=work, **k: called.append(_name) or _work(*a, **k)
        )
    at = torch.arange(9)[None]
    parts = {"position": Rotary(), "normalizer": Softmax(), "q_positions": at, "k_positions": at, "keys_rotated": False}
    with Programs(None, tmp_path / "programs.json").at_work():
        backends.run(*some, **parts, scale=0.5, mask=None, causal=True, plain_causal=True)
    assert called == [program]


def test_what_runs_is_told_with_its_reason(tmp_path, some, measured):
    """By shape: measured where programs are at work, by rule elsewhere, and nothing where nobody listens."""
    at = torch.arange(9)[None]
    parts = {"position": Rotary(), "q_positions": at, "k_positions": at, "keys_rotated": False}

    def attend(normalizer=None):
        backends.run(
            *some,
            **parts,
            normalizer=normalizer or Softmax(),
            scale=0.5,
            mask=None,
            causal=True,
            plain_causal=True,
        )

    with programs.overheard() as heard:
        with Programs(None, tmp_path / "programs.json").at_work():
            attend()
            attend()
        attend(Sparsemax())
    attend(Sparsemax())
    assert heard == {
        SHAPE: [
            "materialised: 1 ms against 3 (fused), measured on this machine",
            "dense: the fused kernel knows softmax only, not Sparsemax",
        ]
    }
    with programs.overheard() as other:
        attend()
    assert other == {SHAPE: ["materialised: 9 keys are few enough for materialised scores to be faster on a CPU"]}
    with programs.overheard() as nothing:
        pass
    assert nothing == {}


def test_attention_in_pieces_is_told(some):
    config = GroupedQuery.Config(d_model=16, n_heads=2, position=Rotary(map=ReRoPE(window=8)))
    with programs.overheard() as heard, torch.no_grad():
        config.build()(torch.randn(1, 300, 16), torch.arange(300)[None])
    (reasons,) = heard.values()
    assert [why.partition(":")[0] for why in reasons] == ["piecewise"]
