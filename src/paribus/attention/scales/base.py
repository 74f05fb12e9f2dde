"""Contract of the family: (q, k, n_visible) -> (q, k, softmax_scale); scores are softmax_scale * <q, k>.

A key is changed by itself alone, so that it can be cached. Rotation keeps lengths, so a norm
without a learned gain commutes with it.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from paribus.core.config import Part


class Scale(Part, ABC):
    # True: the scale depends on how many keys each query sees, so n_visible must be given.
    counts_keys: ClassVar[bool] = False
    # True: keys are changed, so the layer must hold them in full (a latent does not).
    changes_keys: ClassVar[bool] = False
    # True: a rotation of query and key may come before or after. A layer scales first.
    commutes: ClassVar[bool] = True

    def build(self, head_dim: int | None = None) -> Any:
        """What is called: the scale itself, or a module where it has something to learn."""
        return self

    def n_parameters(self, head_dim: int) -> int:
        """Learned numbers in a layer of heads of head_dim; a member that has some is the `Config` of a module."""
        return 0

    @abstractmethod
    def __call__(self, q: Tensor, k: Tensor, n_visible: Tensor | None) -> tuple[Tensor, Tensor, float]:
        """q (batch, heads, n_queries, head_dim), k (batch, kv_heads, n_keys, head_dim).

        n_visible: number of keys that each query sees, broadcastable to (batch, heads, n_queries), or None where
        `counts_keys` is False.
        """
