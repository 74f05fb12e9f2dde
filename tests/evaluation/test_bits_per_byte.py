"""Bits per byte: a judged token counts for the bytes that it holds."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paribus.core.errors import ConfigError
from paribus.data.batch import IGNORED
from paribus.data.synthetic.copy_task import Copy
from paribus.data.text_source import Text
from paribus.evaluation.bits_per_byte import WORST, BitsPerByte
from paribus.text.corpora import Folder
from paribus.tokenizer.bytepiece import BytePiece
from paribus.tokenizer.bytes import Bytes


class Uniform(nn.Module):
    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.zeros(*tokens.shape, len(self.weight)) + self.weight


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for i in range(60):
        (folder / f"{i}.py").write_text(f"import os\n\n\ndef f{i}(self):\n    return os.path.join(self.x, {i})\n" * 9)
    return Folder(path=str(folder))


@pytest.mark.parametrize("tokenizer", [Bytes(), BytePiece()], ids=str)
def test_a_model_that_knows_nothing_pays_for_each_token(corpus, tokenizer, tmp_path):
    metric = BitsPerByte(span=65, last=31, windows=13)
    stream = Text(corpus=corpus, tokenizer=tokenizer).prepare(tmp_path)
    windows = metric.held_out(stream)
    judged = int((windows.targets != IGNORED).sum())
    found = metric.measure(Uniform(tokenizer.vocab_size), windows)["bits per byte"]
    assert found == pytest.approx(math.log2(tokenizer.vocab_size) * judged / windows.judged_bytes)
    if tokenizer == Bytes():
        assert found == pytest.approx(8)
        assert windows.judged_bytes == judged == 13 * 31
    else:
        assert judged < windows.judged_bytes <= 13 * 31


def test_judged_are_the_tokens_that_begin_late(corpus, tmp_path):
    stream = Text(corpus=corpus, tokenizer=BytePiece()).prepare(tmp_path)
    whole, late = stream.windows("test", 7, 65, 65), stream.windows("test", 7, 65, 65, judged=20)
    np.testing.assert_array_equal(whole.tokens, late.tokens)
    assert whole.digest == late.digest
    total = 0
    for tokens, all_targets, targets in zip(whole.tokens, whole.targets, late.targets, strict=True):
        n = int((all_targets != IGNORED).sum())
        ids = [tokens[0], *all_targets[:n]]
        ends = np.cumsum([len(BytePiece().decode([i])) for i in ids])
        assert ends[-1] == 65
        expected = [i if begin >= 45 else IGNORED for i, begin in zip(ids[1:], ends, strict=False)]
        assert targets[:n].tolist() == expected
        total += 65 - int(ends[:-1][ends[:-1] >= 45][0])
    assert late.judged_bytes == total


def test_what_cannot_be(corpus, tmp_path):
    with pytest.raises(ConfigError, match="less than the window"):
        BitsPerByte(span=8, last=8)
    metric = BitsPerByte(span=65, last=31, windows=13)
    stream = Text(corpus=corpus).prepare(tmp_path)
    with pytest.raises(ConfigError, match="take them from held_out"):
        metric.measure(Uniform(256), stream.windows("test", 3, 64))
    with pytest.raises(ConfigError, match="judged = 66"):
        stream.windows("test", 3, 65, 65, judged=66)
    with pytest.raises(ConfigError, match="those of text"):
        metric.held_out(Copy(vocab_size=8).prepare())
    assert metric.worst("bits per byte", Text(corpus=corpus)) == WORST
