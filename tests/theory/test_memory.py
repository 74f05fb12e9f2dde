"""Bytes: sums by hand, and what autograd really keeps stays below the estimate."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from paribus.attention.grouped_query import GroupedQuery
from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary
from paribus.theory import memory
from paribus.training.objective import token_loss


def kept(config: DecoderLM.Config, batch: int, length: int) -> int:
    """Bytes of the tensors that a forward pass leaves for the backward pass, without the parameters."""
    model = config.build()
    draw(model, 0)
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    found: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        tokens = torch.randint(config.vocab_size, (batch, length))
        loss = token_loss(model(tokens), tokens)
    assert loss.requires_grad  # the graph, and with it every storage, is alive until here
    return sum(found.values())


@pytest.mark.parametrize("length", [63, 128])
@pytest.mark.parametrize("feed_forward", [FeedForward.Config(d_ff=256), GatedFeedForward.Config(d_ff=172)])
@pytest.mark.parametrize("n_layers", [1, 3])
def test_the_estimate_covers_what_autograd_keeps(length, feed_forward, n_layers):
    """From above, and by no more than a factor of 2.5."""
    config = DecoderLM.Config(
        n_layers=n_layers,
        d_model=64,
        mixer=GroupedQuery.Config(n_heads=4),
        feed_forward=feed_forward,
        vocab_size=256,
    )
    estimate = memory.decoder_activation_bytes(4 * length, length, 64, feed_forward.d_ff, n_layers, 4, 256)
    measured = kept(config, 4, length)
    assert measured <= estimate <= 2.5 * measured


def test_training_bytes():
    """Weights, gradients and two moments of 4 bytes each."""
    assert memory.training_bytes(1000, 50) == 16_000 + 50
    assert memory.training_bytes(1000, 0, bytes_per_parameter=2) == 8000


def test_cache_bytes():
    """SmolLM2-135M: 3 groups of 64, 30 layers, 16 bit: 23,040 bytes a token."""
    assert 30 * memory.kv_cache_bytes(1, 3, 64, 2) == 23_040
    # 16 heads of 128 in one layer of 16 bit against the 1152 bytes of a 576-wide latent.
    assert memory.kv_cache_bytes(1, 128, 128, 2) == 65_536


class Alive(TorchDispatchMode):
    """Bytes of all tensors alive that operators returned, and the most there were at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[int] = set()
        self.now = self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for x in found if isinstance(found, tuple | list) else (found,):
            if not isinstance(x, torch.Tensor) or x.untyped_storage()._cdata in self.known:
                continue
            storage = x.untyped_storage()
            self.known.add(storage._cdata)
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self.freed, storage._cdata, storage.nbytes())
        return found

    def freed(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.now -= size


@pytest.mark.parametrize("position", [Rotary(), Rotary(map=ReRoPE(window=150))], ids=repr)
@pytest.mark.parametrize(("d_ff", "n_kv_heads", "last"), [(96, 2, 16), (16, 4, 16), (16, 4, 640)])
@torch.no_grad()
def test_the_estimate_covers_what_a_reading_holds(position, d_ff, n_kv_heads, last):
    """From above, and by no more than a factor of 2.5."""
    length = 700
    mixer = GroupedQuery.Config(n_heads=4, n_kv_heads=n_kv_heads, position=position)
    config = DecoderLM.Config(n_layers=2, d_model=32, mixer=mixer, feed_forward=GatedFeedForward.Config(d_ff=d_ff))
    model = config.build()
    draw(model, 0)
    tokens = torch.randint(256, (1, length))
    model(tokens, last=last)  # tables that are made once
    with Alive() as alive:
        model(tokens, last=last)
    estimate = memory.reading_bytes(length, 32, d_ff, 32, 256, last)
    assert alive.most <= estimate <= 2.5 * alive.most
