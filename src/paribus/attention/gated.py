"""The gated attention unit (GAU): one head of attention inside a gated network, in place of both.

    U, V = act(x W_u), act(x W_v)  (e wide);   Z = act(x W_z)  (s wide)
    q, k = Z * gain + offset, each with its own;   y = (U * attend(q, k, V)) W_o

The published unit weighs by relu^2(q k / sqrt(s)) / n, here the normalizer SquaredRelu; Softmax() with the scale
LogLength() is the variant that carries over to other lengths. The gate lets one head do; a feed-forward network beside
it may be narrow. Cached are s + e numbers a token.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from paribus.attention import backends
from paribus.attention.checks import check_order_is_told, check_state_is_of
from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.scales.base import Scale
from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.attention.token_rows import TokenRows
from paribus.attention.visibility import Visibility, refuse_to_look_ahead, visibility
from paribus.core.config import require
from paribus.core.errors import InputError
from paribus.layers.activations.base import Activation
from paribus.layers.activations.silu import SiLU
from paribus.layers.gain_offset import GainOffset
from paribus.layers.linear import Linear
from paribus.layers.mixer import Mixer, MixerConfig
from paribus.layers.width import width
from paribus.normalizers.base import Normalizer
from paribus.normalizers.softmax import Softmax
from paribus.normalizers.squared_relu import SquaredRelu
from paribus.positions.base import Position
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.rotary import Rotary
from paribus.theory import flops, memory


class GatedUnit(Mixer):
    class Config(MixerConfig):
        source: ClassVar[str] = "Hua et al., Transformer Quality in Linear Time, arXiv:2202.10447, section 3"
        key_dim: int = 128  # s
        value_dim: int | None = None  # e; None: 2 d_model
        activation: Activation = SiLU()
        position: Position = Rotary()
        scale: Scale = InverseSqrt()
        normalizer: Normalizer = SquaredRelu()
        mask: Mask = Causal()

        def check(self) -> None:
            require(self.key_dim >= 1, f"key_dim = {self.key_dim}: expected at least 1")
            require(self.value_dim is None or self.value_dim >= 1, f"value_dim = {self.value_dim}: expected at least 1")
            self.position.check_head_dim(self.key_dim)
            self.mask.check_heads(1)
            self.normalizer.check_heads(1)
            check_order_is_told(self.position, self.mask)

        @property
        def d_value(self) -> int:
            return 2 * width(self) if self.value_dim is None else self.value_dim

        @property
        def causal(self) -> bool:
            return self.mask.causal

        def build(self) -> "GatedUnit":
            return GatedUnit(self)

        def n_parameters(self) -> int:
            matrices = width(self) * (3 * self.d_value + self.key_dim)
            learned = self.normalizer.n_parameters() + self.scale.n_parameters(self.key_dim)
            return matrices + 4 * self.key_dim + learned

        def flops(self, length: int, causal: bool = False) -> int:
            projections = flops.linear(length, width(self), 3 * self.d_value + self.key_dim)
            matrices = 1 if causal else self.position.score_matrices(self.mask.causal)
            return projections + flops.attention(
                length, length, 1, matrices * self.key_dim, self.d_value, causal=causal
            )

        def step_flops(self, length: int) -> int:
            projections = flops.linear(1, width(self), 3 * self.d_value + self.key_dim)
            matrices = self.position.score_matrices(self.mask.causal)
            return projections + flops.attention(1, length, 1, matrices * self.key_dim, self.d_value)

        def state_bytes(self, length: int, bytes_each: int = 4) -> int:
            rows = memory.row_cache_bytes(length, self.key_dim + self.d_value, bytes_each)
            return rows + self.position.reads_key_positions * length * memory.POSITION

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        d_model = width(config)
        self.gate = Linear(d_model, config.d_value)
        self.value = Linear(d_model, config.d_value)
        self.shared = Linear(d_model, config.key_dim)
        self.query = GainOffset(config.key_dim)
        self.key = GainOffset(config.key_dim)
        self.out = Linear(config.d_value, d_model, gain=config.residual_gain)
        self.scale = config.scale.build(config.key_dim)
        self.normalizer = config.normalizer.build()

    def forward(self, x: Tensor, positions: Tensor, mask: Mask | None = None) -> Tensor:
        """x (batch, length, d_model); `mask` narrows the layer's own mask (padding, documents)."""
        if x.numel() == 0:
            return x
        seen = self._visible(x, 0, mask)
        q, k, v = self._project(x)
        q, k, scale = self.scale(q, k, seen.n_keys)
        return self._attend(x, q, k, v, positions, positions, seen, scale, keys_rotated=False)

    def start(self, batch: int, capacity: int, dtype: torch.dtype, device: torch.device) -> TokenRows:
        refuse_to_look_ahead(self.config.mask)
        return TokenRows(
            batch,
            capacity,
            self.config.key_dim + self.config.d_value,
            dtype,
            device,
            self.config.position.reads_key_positions,
        )

    def prefill(self, x: Tensor, positions: Tensor, state: Any, mask: Mask | None = None) -> tuple[Tensor, Any]:
        config, wide = self.config, self.config.key_dim + self.config.d_value
        if not isinstance(state, TokenRows) or state.rows.shape[-1] != wide:
            raise InputError(
                f"a gated unit of {wide} numbers a token cannot read this {type(state).__name__} cache: "
                "start a cache with this layer"
            )
        check_state_is_of(state, x)
        if x.numel() == 0:
            return x, state
        seen = self._visible(x, state.length, mask)
        q, k, v = self._project(x)
        q, k, scale = self.scale(q, k, seen.n_keys)  # a key is changed by itself alone, so it is stored changed
        rotated = config.position.separable
        if rotated:
            k = config.position.rotate_key(k, positions)
        rows, k_positions = state.append(torch.cat((k[:, 0], v[:, 0]), dim=-1), positions)
        k, v = rows[:, None].split((config.key_dim, config.d_value), dim=-1)
        return self._attend(x, q, k, v, positions, k_positions, seen, scale, rotated), state

    def _visible(self, x: Tensor, n_before: int, extra: Mask | None) -> Visibility:
        return visibility(self.config.mask, extra, self.config.scale, len(x), 1, n_before, x.shape[1], x)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and V as one head: (batch, 1, length, .)."""
        act = self.config.activation
        shared, value = act(self.shared(x)), act(self.value(x))
        return self.query(shared)[:, None], self.key(shared)[:, None], value[:, None]

    def _attend(
        self,
        x: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        q_positions: Tensor,
        k_positions: Tensor | None,
        seen: Visibility,
        scale: float,
        keys_rotated: bool,
    ) -> Tensor:
        y = backends.run(
            q,
            k,
            v,
            position=self.config.position,
            q_positions=q_positions,
            k_positions=k_positions,
            keys_rotated=keys_rotated,
            scale=scale,
            normalizer=self.normalizer,
            mask=seen.mask,
            causal=seen.causal,
            plain_causal=seen.plain_causal,
        )
        return self.out(self.config.activation(self.gate(x)) * y[:, 0])


GatedUnit.Config.examples = (
    GatedUnit.Config(d_model=24, key_dim=8),
    GatedUnit.Config(d_model=24, key_dim=6, value_dim=31, normalizer=Softmax(), position=Rotary(map=ReRoPE(window=5))),
)
