"""Linear attention: a product of features instead of exp, so that keys and values can be summed once for all queries.

    o_m = phi(q_m) S_m / (phi(q_m) z_m + eps),  S_m = sum_{n<=m} phi(k_n) v_n^T,  z_m = sum_{n<=m} phi(k_n)

Time grows with n, and decoding remembers S and z only, (d_v + 1) phi-width numbers a head, kept in float32 at least.
A position code turns the features of the numerator alone: turned features may have negative products, which would
spoil a denominator. A mask that hides a key from some queries only is honoured by `forward` with all pairs.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from paribus.attention.checks import (
    check_heads_divide,
    check_mask_of_sums,
    check_order_is_told,
    check_state_is_of,
    check_turns_alone,
)
from paribus.attention.features.base import FeatureMap
from paribus.attention.features.elu_plus_one import EluPlusOne
from paribus.attention.features.taylor import Taylor
from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.padding import hides_keys_only, valid_keys
from paribus.attention.visibility import refuse_to_look_ahead
from paribus.core.config import require
from paribus.core.errors import InputError
from paribus.layers.linear import Linear
from paribus.layers.mixer import Mixer, MixerConfig
from paribus.layers.width import width
from paribus.ops.causal_product import CHUNK, causal_product, dense
from paribus.ops.precision import widened
from paribus.positions.base import Position
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.theory import flops, memory


class LinearAttention(Mixer):
    class Config(MixerConfig):
        source: ClassVar[str] = "Katharopoulos et al., Transformers are RNNs, arXiv:2006.16236"
        n_heads: int
        head_dim: int | None = None  # None: d_model / n_heads
        features: FeatureMap = EluPlusOne()
        position: Position = Rotary()  # of the numerator
        mask: Mask = Causal()
        eps: float = 1e-6  # added to the denominator: a query that meets no key reads nothing

        def check(self) -> None:
            check_heads_divide(self)
            require(self.eps > 0, f"eps = {self.eps}: expected a positive number")
            check_mask_of_sums(self.mask)
            check_turns_alone(self.position)
            check_order_is_told(self.position, self.mask)
            if self.head_dim is not None or self.d_model is not None:
                require(self.d_head >= 1, f"head_dim = {self.d_head}: expected at least 1")
                self.position.check_head_dim(self.d_features)

        @property
        def d_head(self) -> int:
            return width(self) // self.n_heads if self.head_dim is None else self.head_dim

        @property
        def d_features(self) -> int:
            return self.features.width(self.d_head)

        @property
        def turned(self) -> bool:
            """The numerator's features are not those of the denominator."""
            return not isinstance(self.position, NoPosition)

        @property
        def causal(self) -> bool:
            return self.mask.causal

        def build(self) -> "LinearAttention":
            return LinearAttention(self)

        def n_parameters(self) -> int:
            return 4 * width(self) * self.d_head * self.n_heads

        def flops(self, length: int, causal: bool = False) -> int:
            projections = flops.linear(length, width(self), 4 * self.d_head * self.n_heads)
            shape = (length, self.n_heads, self.d_features, self.d_head)
            if not self.causal:
                return projections + flops.linear_attention(*shape, normalised=True)
            return projections + flops.chunked_linear_attention(
                *shape, chunk=CHUNK, normalised=not self.turned, causal=causal
            )

        def step_flops(self, length: int) -> int:
            return self.flops(1)

        def state_bytes(self, length: int, bytes_each: int = 4) -> int:
            return memory.linear_state_bytes(self.n_heads, self.d_features, self.d_head, bytes_each)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        d_model, d_heads = width(config), config.n_heads * config.d_head
        self.query = Linear(d_model, d_heads)
        self.key = Linear(d_model, d_heads)
        self.value = Linear(d_model, d_heads)
        self.out = Linear(d_heads, d_model, gain=config.residual_gain)

    def forward(self, x: Tensor, positions: Tensor, mask: Mask | None = None) -> Tensor:
        """x (batch, length, d_model); `mask` narrows the layer's own mask (padding, documents)."""
        if x.numel() == 0:
            return x
        config = self.config
        if not hides_keys_only(mask):
            return self._dense(x, positions, mask)
        q, k, v = self._features(x, valid_keys(mask, len(x), 0, x.shape[1], x.device))
        if config.causal:
            y, _ = self._read(q, k, v, positions, None)
            return self._out(y)
        rotated_q, rotated_k = self._rotated(q, k, positions)
        with torch.autocast(x.device.type, enabled=False):  # sums over many keys overflow in 16 bits
            total = widened(rotated_k).transpose(-1, -2) @ widened(v)
            size = widened(q) @ widened(k).sum(-2).unsqueeze(-1) + config.eps
            y = (widened(rotated_q) @ total / size).to(v.dtype)
        return self._out(y)

    def start(self, batch: int, capacity: int, dtype: torch.dtype, device: torch.device) -> "Sums":
        """A state of constant size: `capacity` is not needed."""
        config = self.config
        refuse_to_look_ahead(config.mask)
        wide = torch.float32 if dtype.itemsize < 4 else dtype
        shape = (batch, config.n_heads, config.d_features)
        values = torch.zeros(*shape, config.d_head, dtype=wide, device=device)
        return Sums(values, torch.zeros(*shape, 1, dtype=wide, device=device), 0)

    def prefill(self, x: Tensor, positions: Tensor, state: Any, mask: Mask | None = None) -> tuple[Tensor, Any]:
        config = self.config
        if not isinstance(state, Sums) or state.values.shape[1:] != (config.n_heads, config.d_features, config.d_head):
            raise InputError(
                f"linear attention of {config.n_heads} heads with {config.d_features} features cannot read this "
                f"{type(state).__name__} state: start a state with this layer"
            )
        check_state_is_of(state, x)
        if x.numel() == 0:
            return x, state
        q, k, v = self._features(x, valid_keys(mask, len(x), state.length, x.shape[1], x.device))
        y, (values, keys) = self._read(q, k, v, positions, state)
        return self._out(y), Sums(values, keys, state.length + x.shape[1])

    def _features(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """phi(q), phi(k) and v, (batch, heads, length, .); padded keys have no features."""

        def heads(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)

        phi = self.config.features
        q, k, v = phi(heads(self.query(x))), phi(heads(self.key(x))), heads(self.value(x))
        return q, k if valid is None else k * valid[:, None, :, None], v

    def _rotated(self, q: Tensor, k: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        position = self.config.position
        return position.rotate(q, positions), position.rotate_key(k, positions)

    def _read(
        self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, state: "Sums | None"
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        eps = self.config.eps
        before = None if state is None else (state.values, state.keys)
        if not self.config.turned:
            return causal_product(q, k, v, before, eps=eps)
        rotated_q, rotated_k = self._rotated(q, k, positions)
        y, (values, _) = causal_product(rotated_q, rotated_k, v, before)
        sums = widened(k).cumsum(-2)
        if before is not None:
            sums = sums + before[1].transpose(-1, -2)
        size = torch.linalg.vecdot(widened(q), sums).unsqueeze(-1) + eps
        return (y / size).to(v.dtype), (values, sums[..., -1:, :].transpose(-1, -2).contiguous())

    def _dense(self, x: Tensor, positions: Tensor, extra: Mask | None) -> Tensor:
        """All pairs, as it is written: the slow twin, which honours any mask."""
        config = self.config
        places = torch.arange(x.shape[1], device=x.device)
        whole = config.mask if extra is None else config.mask & extra
        mask = whole.dense(len(x), config.n_heads, places, places)
        q, k, v = self._features(x, None)
        rotated_q, rotated_k = self._rotated(q, k, positions)
        with torch.autocast(x.device.type, enabled=False):
            q, k, rotated_q, rotated_k, wide = (widened(each) for each in (q, k, rotated_q, rotated_k, v))
            if config.turned:
                size = dense(q, k, torch.ones_like(wide[..., :1]), mask)
                y = dense(rotated_q, rotated_k, wide, mask) / (size + config.eps)
            else:
                y = dense(q, k, wide, mask, config.eps)
        return self._out(y.to(v.dtype))

    def _out(self, y: Tensor) -> Tensor:
        return self.out(y.transpose(1, 2).flatten(2))


class Sums:
    """values: sum of phi(k) v^T, (batch, heads, features, d_v); keys: sum of phi(k), (batch, heads, features, 1)."""

    def __init__(self, values: Tensor, keys: Tensor, length: int) -> None:
        self.values, self.keys, self.length = values, keys, length

    @property
    def batch(self) -> int:
        return len(self.values)

    def nbytes(self) -> int:
        return (self.values.numel() + self.keys.numel()) * self.values.element_size()


LinearAttention.Config.examples = (
    LinearAttention.Config(d_model=24, n_heads=4),
    LinearAttention.Config(d_model=24, n_heads=4, position=NoPosition()),
    LinearAttention.Config(d_model=12, n_heads=4, features=Taylor()),
)
