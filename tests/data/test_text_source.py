"""Text as a source: targets are the next tokens, and every arm reads the same bytes."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.core.errors import ConfigError, CorpusError
from paribus.data import IGNORED, Text
from paribus.data.batch import digest_of
from paribus.data.text_source import padded_rows, rows
from paribus.text.corpora import Folder
from paribus.tokenizer.base import TextTokenizer
from paribus.tokenizer.bytes import Bytes


class Runs(TextTokenizer):
    """A run of up to four equal bytes is one token, 4 x byte + run length - 1: for these tests."""

    source: ClassVar[str] = ""

    @property
    def vocab_size(self) -> int:
        return 1024

    def encode(self, data: bytes) -> npt.NDArray[np.integer]:
        ids: list[int] = []
        for byte in data:
            if ids and ids[-1] // 4 == byte and ids[-1] % 4 < 3:
                ids[-1] += 1
            else:
                ids.append(4 * byte)
        return np.array(ids)

    def decode(self, ids: npt.ArrayLike) -> bytes:
        return b"".join(bytes([i // 4]) * (i % 4 + 1) for i in np.asarray(ids).tolist())


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    return text(tmp_path_factory).prepare(tmp_path_factory.mktemp("cache"))


def text(tmp_path_factory) -> Text:
    folder = tmp_path_factory.mktemp("texts")
    random = np.random.default_rng(0)
    for k in range(60):
        (folder / f"{k}.txt").write_bytes(random.integers(97, 100, size=200 + k, dtype=np.uint8).tobytes())
    return Text(corpus=Folder(path=str(folder)))


def test_a_target_is_the_next_byte(stream):
    data = stream.prepared.split("train")
    batches = stream.batches(0, 5, 31)
    batch = batches.batch(3)
    np.testing.assert_array_equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    for row, start in enumerate(batches.order.starts(3)):
        assert batch.tokens[row].tolist() == data[start : start + 31].tolist()
        assert batch.targets[row].tolist() == data[start + 1 : start + 32].tolist()


def test_the_digest_is_of_the_raw_bytes(stream):
    data, batches = stream.prepared.split("train"), stream.batches(0, 5, 31)
    raw = np.stack([data[start : start + 32] for start in batches.order.starts(0)])
    assert batches.batch(0).digest == digest_of(raw)
    assert digest_of(raw) != digest_of(raw[::-1])


def test_arms_of_other_lengths_and_tokenizers_read_the_same_bytes(stream):
    arms = [
        stream.batches(1, 4, 24, span=49),
        stream.batches(1, 4, 48, span=49),
        stream.batches(1, 4, 7, span=49),
        type(stream)(stream.prepared, Runs()).batches(1, 4, 48, span=49),
    ]
    assert [arm.batch(0).tokens.shape[0] for arm in arms[:3]] == [8, 4, 28]
    for step in range(3):
        assert len({arm.batch(step).digest for arm in arms}) == 1
    said = [batch.targets[batch.targets != IGNORED].tolist() for batch in (arm.batch(2) for arm in arms[:3])]
    assert len(said[0]) == 4 * 48
    assert said[0] == said[1] == said[2]


spans = (
    st.integers(2, 40)
    .flatmap(lambda n: st.lists(st.binary(min_size=n, max_size=n), min_size=1, max_size=4))
    .map(lambda lines: np.stack([np.frombuffer(line, np.uint8) for line in lines]))
)


@given(spans, st.integers(1, 50))
def test_the_short_cut_for_bytes_agrees_with_its_specification(raw, length):
    for array, other in zip(rows(raw, length, Bytes()), padded_rows(raw, length, Bytes())):
        np.testing.assert_array_equal(array, other)


@given(spans, st.integers(1, 50), st.sampled_from([Bytes(), Runs()]))
def test_rows_say_every_token_once_and_only_then_padding(raw, length, tokenizer):
    batch = padded_rows(raw, length, tokenizer)
    assert batch.tokens.shape == batch.targets.shape
    assert batch.tokens.shape[1] <= length
    assert batch.tokens.min() >= 0
    asked = batch.targets != IGNORED
    assert (asked[:, :-1] >= asked[:, 1:]).all()  # padding only on the right
    row = 0
    for span in raw:
        ids = tokenizer.encode(span.tobytes()).astype(np.int64)
        n = max(1, -(-(len(ids) - 1) // length))
        mine = slice(row, row + n)
        assert batch.targets[mine][asked[mine]].tolist() == ids[1:].tolist()
        assert batch.tokens[mine][asked[mine]].tolist() == ids[:-1].tolist()
        row += n
    assert row == len(batch.tokens)


def test_a_span_of_one_token_asks_nothing():
    batch = padded_rows(np.full((2, 3), 97, np.uint8), 5, Runs())
    assert batch.tokens.tolist() == [[390], [390]]
    assert batch.targets.tolist() == [[IGNORED], [IGNORED]]


def test_windows_are_spread_evenly_and_do_not_overlap_while_they_fit(stream):
    data = stream.prepared.split("test").tobytes()
    count = len(data) // 41
    windows = stream.windows("test", count, 40)
    found = [np.append(row, last) for row, last in zip(windows.tokens, windows.targets[:, -1])]
    at = [data.find(one.astype(np.uint8).tobytes()) for one in found]
    assert at[0] == 0
    assert at[-1] == len(data) - 41
    assert min(np.diff(at)) >= 41
    assert max(np.diff(at)) - min(np.diff(at)) <= 1
    overlapping = stream.windows("test", len(data) - 40, 40)
    assert len({row.tobytes() for row in overlapping.tokens}) > count


def test_a_window_cut_on_the_left_has_the_same_end(stream):
    long, short = stream.windows("dev", 3, 64), stream.windows("dev", 3, 64).tokens[:, -16:]
    np.testing.assert_array_equal(long.targets[:, -16:-1], short[:, 1:])


def test_a_split_too_small_for_the_windows(stream):
    size = stream.prepared.size("dev")
    with pytest.raises(CorpusError, match=f"dev split has {size} bytes, too few for 4 different windows of {size + 1}"):
        stream.windows("dev", 4, size)
    with pytest.raises(CorpusError, match="unknown split"):
        stream.windows("valid", 4, 8)
    with pytest.raises(CorpusError, match="one span needs"):
        stream.batches(0, 4, 1_000_000)
    with pytest.raises(ConfigError, match="at least 2 bytes"):
        stream.batches(0, 4, 8, span=1)


def test_opening_needs_a_path(stream):
    with pytest.raises(CorpusError, match="call prepare"):
        Text(corpus=Folder(path=".")).open(None)
    with pytest.raises(CorpusError, match="not a whole prepared corpus"):
        Text(corpus=Folder(path=".")).open(stream.path.parent)


def test_a_worker_opens_without_the_corpus(stream):
    """The folder of the texts is not looked at: only what was prepared."""
    opened = Text(corpus=Folder(path="/gone")).open(stream.path)
    assert opened.batches(0, 2, 16).batch(0).digest == stream.batches(0, 2, 16).batch(0).digest


def test_windows_of_a_coarser_tokenizer_have_as_many_tokens_as_asked(tmp_path_factory, tmp_path):
    source = text(tmp_path_factory)
    stream = Text(corpus=source.corpus, tokenizer=Runs()).prepare(tmp_path)
    windows = stream.windows("test", 6, 23)
    assert windows.tokens.shape == windows.targets.shape == (6, 23)
    assert (windows.targets != IGNORED).all()
    np.testing.assert_array_equal(windows.tokens[:, 1:], windows.targets[:, :-1])
    data = stream.prepared.split("test").tobytes()
    assert all(Runs().decode([*row, last]) in data for row, last in zip(windows.tokens, windows.targets[:, -1]))
    longer = stream.windows("test", 6, 46)
    np.testing.assert_array_equal(longer.tokens.shape, (6, 46))
    with pytest.raises(CorpusError, match="too few"):
        stream.windows("test", 6, 10_000)
