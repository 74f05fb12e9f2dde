"""Progress in one file: all or nothing."""

import pytest
import torch
from safetensors import safe_open
from torch import nn

from paribus.models.weights import save_whole
from paribus.training.checkpoint import load_progress, save_progress


def trained(steps: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        model(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


@pytest.mark.parametrize("make", [torch.optim.AdamW, lambda p: torch.optim.SGD(p, momentum=0.9), torch.optim.Adagrad])
def test_every_number_comes_back(tmp_path, make):
    model, _ = trained()
    optimizer = make(model.parameters())
    model(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()
    save_progress(model, optimizer, 7, tmp_path / "progress")
    other, _ = trained(steps=0)
    fresh = make(other.parameters())
    assert load_progress(other, fresh, tmp_path / "progress") == 7
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
    assert len(fresh.state) == len(optimizer.state) > 0
    for one, two in zip(model.parameters(), other.parameters()):
        assert optimizer.state[one].keys() == fresh.state[two].keys()
        for key, value in optimizer.state[one].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(fresh.state[two][key])), key
            assert torch.as_tensor(value).dtype == torch.as_tensor(fresh.state[two][key]).dtype


def test_nothing_is_done_yet(tmp_path):
    model, optimizer = trained()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert load_progress(model, optimizer, tmp_path / "absent") == 0
    for damage in (b"", b"x" * 50):
        (tmp_path / "damaged").write_bytes(damage)
        assert load_progress(model, optimizer, tmp_path / "damaged") == 0
    save_whole({"x": torch.zeros(1)}, tmp_path / "foreign")
    assert load_progress(model, optimizer, tmp_path / "foreign") == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_an_interrupted_write_leaves_the_last_progress(tmp_path, monkeypatch):
    model, optimizer = trained()
    save_progress(model, optimizer, 3, tmp_path / "progress")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        save_progress(model, optimizer, 4, tmp_path / "progress")
    monkeypatch.undo()
    assert load_progress(model, optimizer, tmp_path / "progress") == 3


def test_the_file_says_how_far(tmp_path):
    model, optimizer = trained()
    save_progress(model, optimizer, 3, tmp_path / "progress")
    with safe_open(tmp_path / "progress", framework="pt") as file:
        assert file.metadata() == {"progress": '{"step": 3}'}
