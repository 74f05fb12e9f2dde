"""Events of a training: cut back to a checkpoint, wherever the process died."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paribus.core.errors import RunFolderError
from paribus.lab.events import EventFile, read_events


def event(step):
    return {"step": step, "loss": 1 / (step + 3), "batch": "é" * step}


def write(path, steps, start=0):
    heard = []
    file = EventFile(path, heard.append)
    file.rewind(start)
    for step in range(start, steps):
        file.event(event(step))
    file.flush()
    file.close()
    return heard


def test_events_are_told_and_read_back(tmp_path):
    path = tmp_path / "cell" / "events.jsonl"
    heard = write(path, 5)
    assert heard == read_events(path) == [event(step) for step in range(5)]
    assert read_events(tmp_path / "none.jsonl") == []


@given(st.integers(0, 6), st.integers(0, 400))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_goes_on_from_any_checkpoint_after_a_cut_anywhere(tmp_path, done, cut):
    whole, path = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    write(whole, 6)
    durable = len(b"".join(whole.read_bytes().splitlines(keepends=True)[:done]))
    path.write_bytes(whole.read_bytes()[: max(durable, cut)])
    write(path, 6, start=done)
    assert path.read_bytes() == whole.read_bytes()


def test_rewinding_keeps_what_a_checkpoint_counts_on_at_every_moment(tmp_path):
    """Killed right after the rewind, before anything is flushed: the kept events are on disk."""
    path = tmp_path / "events.jsonl"
    write(path, 6)
    file = EventFile(path, lambda told: None)
    file.rewind(4)
    assert read_events(path) == [event(step) for step in range(4)]
    file.close()


def test_lost_events_are_told(tmp_path):
    path = tmp_path / "events.jsonl"
    write(path, 2)
    with pytest.raises(RunFolderError, match=r"2 events where the checkpoint beside it has 3 steps: delete"):
        EventFile(path, lambda told: None).rewind(3)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 1]
