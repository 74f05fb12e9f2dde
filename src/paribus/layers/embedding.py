"""Token ids -> vectors, and back to logits with the same matrix when it is tied."""

from torch import Tensor, nn
from torch.nn import functional as F

from paribus.layers.parameters import parameter
from paribus.ops import few_rows


class Embedding(nn.Module):
    """A (vocab_size, d_model) table drawn from N(0, 0.02^2)."""

    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__()
        self.weight = parameter((vocab_size, d_model), std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.weight)

    def logits(self, x: Tensor) -> Tensor:
        return few_rows.linear(x, self.weight)
