"""Grouped-query attention: n_heads query heads share n_kv_heads key and value heads.

    o = W_o concat_h attend(W_q^h x, W_k^g x, W_v^g x),  g = group of h

n_kv_heads = n_heads is multi-head attention, 1 is multi-query attention. Position, scale, normalizer and mask are
parts: any of them may be exchanged, before or after training.
"""

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from paribus.attention import backends
from paribus.attention.cache_of import cache_of, placed, scored, stored
from paribus.attention.caches import KeyValueCache
from paribus.attention.checks import check_heads_divide, check_order_is_told, check_state_is_of
from paribus.attention.mapped_keys import MappedKeys
from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.piecewise import piecewise
from paribus.attention.scales.base import Scale
from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.attention.sink_keys import SinkKeys
from paribus.attention.visibility import Visibility, refuse_to_look_ahead, visibility
from paribus.core.config import require
from paribus.core.errors import InputError
from paribus.layers.linear import Linear, together
from paribus.layers.mixer import Mixer, MixerConfig
from paribus.layers.width import width
from paribus.normalizers.base import Normalizer
from paribus.normalizers.softmax import Softmax
from paribus.positions.base import Position
from paribus.positions.rotary import Rotary
from paribus.theory import flops, memory


class GroupedQuery(Mixer):
    class Config(MixerConfig):
        source: ClassVar[str] = "Ainslie et al., GQA, arXiv:2305.13245; Shazeer, Fast Transformer Decoding, 1911.02150"
        takes_places: ClassVar[bool] = True
        n_heads: int
        n_kv_heads: int | None = None  # None: n_heads, which is multi-head attention
        head_dim: int | None = None  # None: d_model / n_heads
        position: Position = Rotary()
        scale: Scale = InverseSqrt()
        normalizer: Normalizer = Softmax()
        mask: Mask = Causal()

        def check(self) -> None:
            check_heads_divide(self)
            require(
                self.kv_heads >= 1 and self.n_heads % self.kv_heads == 0,
                f"n_heads ({self.n_heads}) must be divisible by n_kv_heads ({self.n_kv_heads})",
            )
            if self.d_model is not None or self.head_dim is not None:
                self.position.check_head_dim(self.d_head)
            self.mask.check_heads(self.n_heads)
            self.position.check_heads(self.n_heads)
            self.normalizer.check_heads(self.n_heads)
            check_order_is_told(self.position, self.mask)

        @property
        def kv_heads(self) -> int:
            return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

        @property
        def d_head(self) -> int:
            return width(self) // self.n_heads if self.head_dim is None else self.head_dim

        @property
        def causal(self) -> bool:
            return self.mask.causal

        @property
        def reads_input(self) -> bool:
            return self.mask.reads_input

        def build(self) -> "GroupedQuery":
            return GroupedQuery(self)

        def n_parameters(self) -> int:
            matrices = 2 * width(self) * self.d_head * (self.n_heads + self.kv_heads)
            learned = self.normalizer.n_parameters() + self.position.n_parameters()
            return matrices + learned + self.scale.n_parameters(self.d_head)

        def flops(self, length: int, causal: bool = False) -> int:
            d, heads = self.d_head, self.n_heads
            projections = flops.linear(length, width(self), d * (2 * heads + 2 * self.kv_heads))
            # With the pairs above the diagonal skipped, each pair is scored once, by the piece that owns it.
            matrices = (
                1 if causal else self.position.score_matrices(self.mask.causal and not self.mask.reads_input, length)
            )
            return projections + flops.attention(length, length, heads, matrices * d, d, causal=causal)

        def step_flops(self, length: int) -> int:
            projections = flops.linear(1, width(self), self.d_head * (2 * self.n_heads + 2 * self.kv_heads))
            return projections + flops.attention(
                1, scored(self.position, length), self.n_heads, self.d_head, self.d_head
            )

        def state_bytes(self, length: int, bytes_each: int = 4) -> int:
            vectors = stored(self.position, length) * self.kv_heads * self.d_head * bytes_each
            return vectors + placed(self.position, length) * memory.POSITION

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        d_model, d_head = width(config), config.d_head
        self.query = Linear(d_model, config.n_heads * d_head)
        self.key = Linear(d_model, config.kv_heads * d_head)
        self.value = Linear(d_model, config.kv_heads * d_head)
        self.out = Linear(config.n_heads * d_head, d_model, gain=config.residual_gain)
        self.scale = config.scale.build(d_head)
        self.normalizer = config.normalizer.build()
        self.position = config.position.build()

    def forward(self, x: Tensor, positions: Tensor, mask: Mask | None = None) -> Tensor:
        """x (batch, length, d_model); `mask` narrows the layer's own mask (padding, documents).

        Among tokens that see one another, positions must not fall from one to the next: a map of distances leaves out
        what a causal mask hides.
        """
        if x.numel() == 0:
            return x
        q, k, v = self._project(x)
        seen = self._visible(x, 0, mask)
        q, k, scale = self.scale(q, k, seen.n_keys)
        return self._attend(q, k, v, positions, positions, seen, scale, keys_rotated=False)

    def start(self, batch: int, capacity: int, dtype: torch.dtype, device: torch.device) -> KeyValueCache:
        config = self.config
        refuse_to_look_ahead(config.mask)
        kind = cache_of(config.position)
        return kind(batch, config.kv_heads, capacity, config.d_head, dtype, device, config.position)

    def prefill(self, x: Tensor, positions: Tensor, state: Any, mask: Mask | None = None) -> tuple[Tensor, Any]:
        position = self.config.position
        if type(state) is not cache_of(position):
            raise InputError(
                f"{type(position).__name__} cannot read a {type(state).__name__} cache: start a cache with this layer"
            )
        state.belongs_to(position)
        check_state_is_of(state, x)
        if x.numel() == 0:
            return x, state
        q, k, v = self._project(x)
        seen = self._visible(x, state.length, mask)
        q, k, scale = self.scale(q, k, seen.n_keys)  # a key is changed by itself alone, so it is stored changed
        if state.rotated:
            k = position.rotate_key(k, positions)
        before = state.length
        if x.shape[1] == 1 and isinstance(state, MappedKeys | SinkKeys):
            y = state.decode(q, k, v, positions, scale, self.normalizer, seen.mask)
            if y is not None:
                return self.out(y.transpose(1, 2).flatten(2)), state
        keys, values, k_positions = state.append(k, v, positions)
        if before > 0 and isinstance(state, SinkKeys):
            kept = state.narrowed(seen.mask, positions, k_positions, before)
            seen = replace(seen, table=lambda: kept, layout=None, plain_causal=False)
        return self._attend(q, keys, values, positions, k_positions, seen, scale, keys_rotated=state.rotated), state

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        d_head = self.config.d_head

        def heads(y: Tensor) -> Tensor:
            return y.unflatten(-1, (-1, d_head)).transpose(1, 2)

        q, k, v = map(heads, together(x, (self.query, self.key, self.value)))
        return q, k, v

    def _visible(self, x: Tensor, n_before: int, extra: Mask | None) -> Visibility:
        config = self.config
        return visibility(config.mask, extra, config.scale, len(x), config.n_heads, n_before, x.shape[1], x)

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        q_positions: Tensor,
        k_positions: Tensor | None,
        seen: Visibility,
        scale: float,
        keys_rotated: bool,
    ) -> Tensor:
        position, normalizer = self.position, self.normalizer
        at: Any = {"position": position, "q_positions": q_positions, "k_positions": k_positions}
        at |= {"keys_rotated": keys_rotated, "scale": scale, "normalizer": normalizer}
        y = piecewise(q, k, v, **at, layout=seen.layout)
        if y is None:
            y = backends.run(q, k, v, **at, mask=seen.mask, causal=seen.causal, plain_causal=seen.plain_causal)
        return self.out(y.transpose(1, 2).flatten(2))


GroupedQuery.Config.examples = (
    GroupedQuery.Config(d_model=24, n_heads=4),
    GroupedQuery.Config(d_model=24, n_heads=4, n_kv_heads=2, head_dim=10),
    GroupedQuery.Config(d_model=24, n_heads=4, n_kv_heads=1),
)
