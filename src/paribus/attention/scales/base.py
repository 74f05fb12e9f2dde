"""Contract of the family: (q, k, n_visible) -> (q, k, softmax_scale); scores are softmax_scale * <q, k>.

A key is changed by itself alone, so that it can be cached. Rotation keeps lengths, so a norm commutes with it.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from paribus.core.config import Part


class Scale(Part, ABC):
    # True: the scale depends on how many keys each query sees, so n_visible must be given.
    counts_keys: ClassVar[bool] = False
    # True: keys are changed, so the layer must hold them in full (a latent does not).
    changes_keys: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, q: Tensor, k: Tensor, n_visible: Tensor | None) -> tuple[Tensor, Tensor, float]:
        """q (batch, heads, n_queries, head_dim), k (batch, kv_heads, n_keys, head_dim).

        n_visible: number of keys that each query sees, broadcastable to (batch, heads, n_queries), or None where
        `counts_keys` is False.
        """
