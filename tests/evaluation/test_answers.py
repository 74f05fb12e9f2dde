"""Questions of a task of its own: right answers counted, an input told to who reads one, names put together."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paribus.attention.grouped_query import GroupedQuery
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.input_prefix import InputPrefix
from paribus.core.errors import ConfigError
from paribus.data.batch import Batch
from paribus.data.continuation import Continuation
from paribus.data.synthetic.final_question import FinalQuestion
from paribus.data.text_source import Text
from paribus.evaluation.answers import Answers
from paribus.evaluation.last_tokens import LastTokens
from paribus.evaluation.together import Together
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.text.corpora.python_stdlib import PythonStdlib

TASK = FinalQuestion(vocab_size=20, keys=3, values=4)
NOTHING = Batch(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.int64), "")


class Knows(nn.Module):
    """Answers every question, or only those about keys below `known`."""

    def __init__(self, known: int) -> None:
        super().__init__()
        self.known, self.weight = known, nn.Parameter(torch.zeros(1))

    def forward(self, tokens: Tensor, last: int | None = None) -> Tensor:
        asked = tokens[:, -1] - 13
        facts = tokens[:, -4:-1] - 1
        said = (facts % 4)[facts // 4 == asked[:, None]]
        answer = torch.where(asked < self.known, 16 + said, 0)
        logits = torch.zeros(*tokens.shape, 20)
        logits[torch.arange(len(tokens)), -1, answer] = 50.0
        return logits if last is None else logits[:, -last:]


def test_right_answers_are_counted():
    metric = Answers(task=TASK, length=5, windows=60)
    assert metric.measure(Knows(3), NOTHING) == {"loss@questions": pytest.approx(0, abs=1e-6), "accuracy@questions": 1}
    asked = TASK.prepare().windows("test", 60, 5).tokens[:, -1] - 13
    found = metric.measure(Knows(1), NOTHING)
    assert found["accuracy@questions"] == pytest.approx(float((asked < 1).mean()))
    assert found["loss@questions"] == pytest.approx(50 * float((asked >= 1).mean()), rel=1e-6)
    assert metric.worst("accuracy@questions", TASK) == 0.25


def test_an_input_is_told_to_a_model_that_reads_one():
    config = DecoderLM.Config(
        n_layers=2,
        d_model=16,
        mixer=GroupedQuery.Config(n_heads=2, mask=InputPrefix()),
        feed_forward=FeedForward.Config(d_ff=32),
        vocab_size=20,
    )
    reader, causal = config.build(), config.with_mixer(mask=Causal()).build()
    for model in (reader, causal):
        draw(model, 0)
    plain, given = Answers(task=TASK, length=4), Answers(task=Continuation(of=TASK, given=4), length=4)
    # The causal model is asked the same either way; the reader is causal until it is told its input.
    assert plain.measure(causal, NOTHING) == given.measure(causal, NOTHING)
    assert plain.measure(reader, NOTHING) == pytest.approx(plain.measure(causal, NOTHING), rel=1e-5)
    moved = given.measure(reader, NOTHING)["loss@questions"] - plain.measure(reader, NOTHING)["loss@questions"]
    assert abs(moved) > 1e-4


def test_last_tokens_of_an_input_and_its_output():
    """The input is cut with the context, from the left."""
    source = Continuation(of=FinalQuestion(vocab_size=20, keys=3, values=4), given=9)
    windows = source.prepare().windows("test", 6, 10)
    seen = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))
            self.config = type("Reads", (), {"reads_input": True})()

        def forward(self, tokens: Tensor, last: int, mask=None) -> Tensor:
            seen.append((tokens.shape[1], set(mask.length.tolist())))
            return torch.zeros(len(tokens), last, 20)

    LastTokens(last=1, at=(1, 4, 10), windows=6).measure(Spy(), windows)
    assert seen == [(1, {0}), (4, {3}), (10, {9})]


def test_together_gives_what_each_gives():
    windows = TASK.prepare().windows("test", 8, 6)
    one, two = LastTokens(last=1, at=(6,), windows=8), Answers(task=TASK, length=5, windows=8)
    both = Together(metrics=(one, two), windows=8)
    assert both.measure(Knows(1), windows) == one.measure(Knows(1), windows) | two.measure(Knows(1), windows)
    assert both.names() == one.names() + two.names()
    assert both.longest == 6
    assert both.tokens_read() == 8 * 6 + 8 * 5


def test_what_cannot_be_put_together():
    one = LastTokens(last=1, at=(6,), windows=8)
    with pytest.raises(ConfigError, match=r"windows = 9, and the metrics ask for \[8\]"):
        Together(metrics=(one,), windows=9)
    with pytest.raises(ConfigError, match="two metrics give accuracy@6, loss@6"):
        Together(metrics=(one, one), windows=8)
    with pytest.raises(ConfigError, match="expected at least one"):
        Together(metrics=(), windows=8)


def test_a_task_that_reads_a_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="Text reads a corpus: ask a task that draws its questions"):
        Answers(task=Text(corpus=PythonStdlib()), length=4).measure(Knows(1), NOTHING)
