"""Bytes: sums by hand, and what autograd really keeps stays below the estimate."""

import pytest
import torch

from paribus.attention.grouped_query import GroupedQuery
from paribus.layers.feed_forward.gated import GatedFeedForward
from paribus.layers.feed_forward.plain import FeedForward
from paribus.layers.parameters import draw
from paribus.models.decoder import DecoderLM
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
