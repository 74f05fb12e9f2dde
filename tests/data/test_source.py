"""What every source keeps, text and synthetic alike."""

import subprocess
import sys
from contextlib import suppress
from dataclasses import fields, replace

import numpy as np
import pytest

from paribus.core.config import from_dict, to_dict
from paribus.core.discovery import members
from paribus.core.errors import ConfigError
from paribus.data import IGNORED, Source, Stream
from paribus.data.synthetic.base import Synthetic

EXAMPLES = [example for cls in members(Source) for example in cls.examples]
BATCH, LENGTH = 3, 33


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("corpora")


@pytest.fixture(params=EXAMPLES, ids=str)
def source(request) -> Source:
    return request.param


@pytest.fixture
def stream(source, folder) -> Stream:
    return source.prepare(folder)


def test_every_member_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(members(Source))


def test_it_is_its_configuration(source):
    assert from_dict(Source, to_dict(source)) == source
    assert 0 < source.chance <= 1


def test_batches_hold_tokens_and_targets(source, stream):
    batch = stream.batches(0, BATCH, LENGTH).batch(0)
    for array in (batch.tokens, batch.targets):
        assert array.dtype == np.int64
        assert array.shape == (BATCH, LENGTH)
        assert array.max() < source.vocab_size
    assert batch.tokens.min() >= 0
    asked = batch.targets != IGNORED
    assert asked.any(axis=1).all()
    assert batch.targets[asked].min() >= 0
    assert len(bytes.fromhex(batch.digest)) == 16


def test_a_batch_is_a_function_of_seed_and_step_in_any_process(source, stream):
    batches = stream.batches(5, BATCH, LENGTH)
    first = [batches.batch(step) for step in range(4)]
    again = source.open(stream.path).batches(5, BATCH, LENGTH)
    for step in (2, 0, 3, 1):
        for array, other in zip(first[step], again.batch(step)):
            np.testing.assert_array_equal(array, other)
    digests = {one.digest for one in first} | {stream.batches(6, BATCH, LENGTH).batch(step).digest for step in range(4)}
    assert len(digests) == 8


def test_windows_are_fixed_and_held_out(source, stream):
    splits = {split: stream.windows(split, 4, LENGTH) for split in ("train", "dev", "test")}
    for split, windows in splits.items():
        assert windows.tokens.shape == (4, LENGTH)
        again = source.open(stream.path).windows(split, 4, LENGTH)
        np.testing.assert_array_equal(windows.tokens, again.tokens)
        np.testing.assert_array_equal(windows.targets, again.targets)
    digests = {one.digest for one in splits.values()} | {stream.batches(0, 4, LENGTH).batch(0).digest}
    assert len(digests) == 4


def test_the_manifest_names_the_content(source, stream):
    assert len(bytes.fromhex(stream.manifest["digest"])) == 32
    assert source.open(stream.path).manifest == stream.manifest
    assert to_dict(stream.manifest) == stream.manifest  # plain JSON


def test_sources_differ_in_their_digests(folder):
    assert len({one.prepare(folder).manifest["digest"] for one in EXAMPLES}) == len(EXAMPLES)


@pytest.mark.parametrize(("batch", "length"), [(0, LENGTH), (BATCH, 0), (BATCH, -1)])
def test_impossible_sizes(stream, batch, length):
    with pytest.raises(ConfigError):
        stream.batches(0, batch, length)
    with pytest.raises(ConfigError):
        stream.windows("test", batch, length)
    with pytest.raises(ConfigError, match="step -1"):
        stream.batches(0, BATCH, LENGTH).batch(-1)


def larger(value):
    """The source with the first number in it that may be raised by one raised by one; None where there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value + 1
    if isinstance(value, tuple):
        return next(
            ((*value[:i], new, *value[i + 1 :]) for i, one in enumerate(value) if (new := larger(one)) is not None),
            None,
        )
    for field in fields(value) if isinstance(value, Source) else ():
        if (new := larger(getattr(value, field.name))) is not None:
            with suppress(ConfigError):
                return replace(value, **{field.name: new})
    return None


def test_the_configuration_is_part_of_the_digest_of_a_task(source, folder):
    if isinstance(source, Synthetic):
        other = larger(source)
        assert other.prepare(folder).manifest["digest"] != source.prepare(folder).manifest["digest"]


def test_no_torch():
    code = "import sys, paribus.data, paribus.text.prepare, paribus.text.readers; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
