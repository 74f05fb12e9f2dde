"""--executor: its words, what each needs, and that it reaches the cells."""

import json
import sys

import pytest

import paribus.cli.conduct
from paribus.cli import elsewhere


def test_words_and_what_they_need(refused, tiny, monkeypatch):
    assert "unknown executor 'slrum': did you mean slurm?" in refused("compare", tiny, "--executor", "slrum")
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "pip install 'paribus[slurm]'" in refused("compare", tiny, "--executor", "slurm", "--jobs", "2")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'paribus[ray]'" in refused("check", "rerope", "--executor", "ray", "--jobs", "2")


def test_the_number_at_once_must_be_given(refused, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", json)
    assert "--executor ray needs --jobs N" in refused("compare", tiny, "--executor", "ray")


def test_the_executor_that_was_asked_for_computes_the_cells(paribus_command, tiny, monkeypatch):
    asked = []
    here = paribus.cli.conduct.LocalExecutor  # one in this process, in these tests

    def make(jobs, settings):
        asked.append((jobs, settings["folder"]))
        return here(jobs, settings)

    monkeypatch.setitem(elsewhere.WORDS, "ray", ("json", "ray", make))
    monkeypatch.setattr(paribus.cli.conduct, "LocalExecutor", None)
    said = paribus_command("compare", tiny, "--profile", "smoke", "--executor", "ray", "--jobs", "900", "--json")
    verdict = json.loads(said.out)
    assert verdict["verdict"] == "undecided (smoke)"
    assert [jobs for jobs, _ in asked] == [900], "this machine's memory sets no limit to the others"


@pytest.mark.parametrize("word", ["slurm", "ray"])
def test_a_plan_needs_no_cluster(paribus_command, tiny, monkeypatch, word):
    monkeypatch.setitem(elsewhere.WORDS, word, ("json", word, None))
    said = paribus_command("compare", tiny, "--profile", "smoke", "--executor", word, "--jobs", "5", "--plan", "--json")
    assert said.code == 0
    assert json.loads(said.out)
