"""Weights in files: whole or absent, the same bits back, and errors that name what differs."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from paribus.core.errors import InputError
from paribus.models.weights import load_weights, save_weights, save_whole, weights


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 5)
        self.head = nn.Linear(5, 7, bias=False)
        self.head.weight = self.table.weight
        self.turned = nn.Parameter(torch.randn(3, 4).t())  # not contiguous
        self.register_buffer("counted", torch.tensor(3))


def test_the_same_bits_come_back(tmp_path):
    one, other = Tied(), Tied()
    save_weights(one, tmp_path / "deep" / "weights.safetensors")
    load_weights(other, tmp_path / "deep" / "weights.safetensors")
    for name, tensor in weights(one).items():
        assert torch.equal(weights(other)[name], tensor), name
    assert other.head.weight is other.table.weight
    assert set(weights(one)) == {"table.weight", "turned", "counted"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["weights.safetensors"]


def test_a_file_of_another_model_changes_nothing(tmp_path):
    model = nn.Linear(3, 2)
    before = model.weight.clone()
    save_whole({"weight": torch.zeros(2, 3)}, tmp_path / "names")
    with pytest.raises(InputError, match="holds another model: 1 names differ, such as bias"):
        load_weights(model, tmp_path / "names")
    save_whole({"bias": torch.zeros(2), "weight": torch.zeros(3, 2)}, tmp_path / "shapes")
    with pytest.raises(InputError, match=r"weight has shape \(3, 2\), the model expects \(2, 3\)"):
        load_weights(model, tmp_path / "shapes")
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\x00" * 100])
def test_a_damaged_file(tmp_path, damage):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match="cannot be read as weights"):
        load_weights(nn.Linear(3, 2), path)
    path.write_bytes(damage)
    with pytest.raises(InputError, match="delete it and run the same command again"):
        load_weights(nn.Linear(3, 2), path)


FULL = """
import resource, sys
import torch
from pathlib import Path
from paribus.models.weights import save_whole
path = Path(sys.argv[1])
save_whole({"x": torch.ones(10)}, path)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_whole({"x": torch.ones(100_000)}, path)
except OSError as error:
    print("OSError", error.filename)
"""


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """A limit on the size of a file fails in the same place as a disk without room."""
    path = tmp_path / "x.safetensors"
    done = subprocess.run([sys.executable, "-c", FULL, os.fspath(path)], capture_output=True, text=True)
    assert done.stdout.split() == ["OSError", os.fspath(path)], done.stderr
    assert torch.equal(load_file(path)["x"], torch.ones(10))
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_name_that_is_taken_by_a_folder(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError):
        save_whole({"x": torch.ones(10)}, tmp_path / "x")
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OSError, match="file"):
        save_whole({"x": torch.ones(1)}, tmp_path / "file" / "x.safetensors")


class Turning(nn.Module):
    """Angles that follow from the config, beside a weight that is learnt."""

    def __init__(self, base: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2))
        self.register_buffer("angles", base ** -torch.arange(3.0), persistent=False)


def test_a_reader_keeps_what_follows_from_its_own_config(tmp_path):
    trained, reader = Turning(10.0), Turning(100.0)
    save_weights(trained, tmp_path / "weights")
    load_weights(reader, tmp_path / "weights")
    assert torch.equal(reader.weight, trained.weight)
    assert torch.equal(reader.angles, Turning(100.0).angles)
    assert set(load_file(tmp_path / "weights")) == {"weight"}
