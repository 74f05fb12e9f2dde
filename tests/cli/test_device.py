"""`--device`."""

import pytest
import torch

from paribus.cli.device import device_from_word
from paribus.core.errors import InputError


def test_the_processor():
    assert device_from_word("cpu") == torch.device("cpu")


def test_gpus_by_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_from_word("cuda") == torch.device("cuda")
    assert device_from_word("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(InputError, match="cuda:2: torch sees 2 GPUs"):
        device_from_word("cuda:2")


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="torch sees no GPU; take --device cpu"):
        device_from_word("cuda")


@pytest.mark.parametrize("word", ["tpu", "", "cpu:0", "cuda:", "cuda:x", "cuda:-1"])
def test_words_that_are_no_device(word):
    with pytest.raises(InputError, match="expected cpu, cuda or cuda:N"):
        device_from_word(word)
