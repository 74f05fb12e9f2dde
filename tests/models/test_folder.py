"""A trained model as a folder, and what is said of a folder that is none."""

import errno
import json
import os

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.core.errors import InputError
from paribus.data.synthetic.copy_task import Copy
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.models.folder import load_model, save_model

CONFIG = DecoderLM.Config(
    n_layers=1,
    d_model=8,
    mixer=GroupedQuery.Config(n_heads=2),
    feed_forward=FeedForward.Config(d_ff=12),
    vocab_size=18,
)
DATA = Copy(vocab_size=18)


@pytest.fixture
def folder(tmp_path):
    model = CONFIG.build()
    draw(model, 0)
    save_model(model, CONFIG, DATA, {"claim": "none", "seed": 0}, tmp_path / "model")
    return tmp_path / "model"


def test_it_comes_back(folder):
    trained = load_model(folder)
    expected = CONFIG.build()
    draw(expected, 0)
    for (name, weight), (same, other) in zip(expected.named_parameters(), trained.model.named_parameters()):
        assert name == same
        assert torch.equal(weight, other)
    assert trained.model.config == CONFIG
    assert trained.data == DATA
    assert trained.origin == {"claim": "none", "seed": 0}
    assert not trained.model.training


def test_a_training_cell_opens_the_same_way(folder):
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    cell = {"config": described["model"], "task": {"data": described["data"]}}
    (folder / "cell.json").write_text(json.dumps(cell), encoding="utf-8")
    (folder / "model.json").unlink()
    trained = load_model(folder)
    assert (trained.model.config, trained.data, trained.origin) == (CONFIG, DATA, {})


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "model.json").unlink(), "holds no model"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "has no weights.safetensors"),
        (lambda folder: (folder / "model.json").write_text("{", encoding="utf-8"), "is damaged"),
        (lambda folder: (folder / "model.json").write_text("[]", encoding="utf-8"), "is damaged"),
        (lambda folder: (folder / "model.json").write_text("{}", encoding="utf-8"), "is damaged"),
        (lambda folder: _edit(folder, "GroupedQuery", "GroupedQueries"), "did you mean GroupedQuery.*--code FILE.py"),
        (lambda folder: _edit(folder, "d_ff", "d_fff"), "has no field 'd_fff'; did you mean d_ff"),
        (lambda folder: _edit(folder, '"d_ff": 12', '"d_ff": 16'), "the model expects"),
        (lambda folder: _edit(folder, '"n_layers": 1', '"n_layers": 2'), "holds another model"),
    ],
)
def test_a_folder_that_is_no_model(folder, harm, said):
    harm(folder)
    with pytest.raises(InputError, match=said):
        load_model(folder)


def test_saving_again_replaces(folder):
    model = CONFIG.build()
    draw(model, 4)
    save_model(model, CONFIG, DATA, {"seed": 4}, folder)
    trained = load_model(folder)
    assert trained.origin == {"seed": 4}
    assert torch.equal(trained.model.embedding.weight, model.embedding.weight)


def test_a_full_disk_leaves_no_half_of_a_model(folder, monkeypatch):
    """A folder with a model.json is whole: neither old words with new weights, nor the other way round."""

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        save_model(CONFIG.build(), CONFIG, DATA, {}, folder)
    assert [path.name for path in folder.iterdir()] == ["weights.safetensors"]
    with pytest.raises(InputError, match="holds no model"):
        load_model(folder)


def _edit(folder, before, after):
    text = (folder / "model.json").read_text(encoding="utf-8")
    assert before in text
    (folder / "model.json").write_text(text.replace(before, after), encoding="utf-8")
