"""Caches hold what was appended, in order, in the bytes that they say."""

import pytest
import torch

from paribus.attention.caches import KeyValueCache, RawKeys, RotatedKeys
from paribus.core.errors import InputError


def make(kind: type[KeyValueCache] = RawKeys, capacity: int = 9, dtype: torch.dtype = torch.float32) -> KeyValueCache:
    return kind(2, 3, capacity, 5, dtype, torch.device("cpu"))


@pytest.mark.parametrize("chunks", [(9,), (1,) * 9, (3, 1, 5), (4, 4)])
def test_what_was_appended_comes_back(chunks):
    cache, length = make(), sum(chunks)
    keys, values = torch.randn(2, 2, 3, length, 5)
    at = torch.arange(length) * 7
    done = 0
    for n in chunks:
        part = slice(done, done + n)
        got = cache.append(keys[:, :, part], values[:, :, part], at[None, part])
        done += n
        assert cache.length == done
        assert torch.equal(got[0], keys[:, :, :done])
        assert torch.equal(got[1], values[:, :, :done])
        assert torch.equal(got[2], at[:done].expand(2, done))
    assert cache.capacity == 9


@pytest.mark.parametrize(("dtype", "each"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_bytes_in_use(dtype, each):
    cache = make(dtype=dtype)
    assert cache.nbytes() == 0
    x = torch.zeros(2, 3, 4, 5, dtype=dtype)
    keys, values, _ = cache.append(x, x, torch.zeros(1, 4, dtype=torch.int64))
    assert cache.nbytes() == each * (keys.numel() + values.numel()) + 2 * 4 * 8  # and the positions of 4 tokens


def test_a_full_cache():
    cache, x = make(capacity=4), torch.zeros(2, 3, 3, 5)
    cache.append(x, x, torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(InputError, match=r"room for 4 tokens, 6 are asked for: start it with a larger capacity"):
        cache.append(x, x, torch.zeros(1, 3, dtype=torch.int64))
    assert cache.length == 3


def test_the_type_says_how_keys_are_stored():
    assert make(RotatedKeys).rotated
    assert not make(RawKeys).rotated
