"""FLASH: the gated unit with all pairs inside chunks of C tokens, and linear attention across them.

    y_m = (U_m * (sum_{n in the chunk, n<=m} relu^2(q_m k_n / sqrt(s)) / C V_n  +  q'_m T / c)) W_o

T = sum of k'_n V_n^T over the c tokens of all earlier chunks; q, k, q', k' are four gains and offsets of one Z. Time
grows with n; decoding remembers one chunk and T. The published description leaves the size of T open: here it is the
mean over the tokens that it holds, so that nothing grows with the length, and a chunk is always divided by C.
Without a causal mask a chunk sees itself whole, and T is the sum over all tokens.

Chunks are counted from the first token, so that padding and packed documents would change what is read: refused.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from paribus.attention.checks import check_mask_of_sums, check_order_is_told, check_state_is_of, check_turns_alone
from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.visibility import refuse_to_look_ahead
from paribus.core.config import require
from paribus.core.errors import InputError
from paribus.layers.activations.base import Activation
from paribus.layers.activations.silu import SiLU
from paribus.layers.gain_offset import GainOffset
from paribus.layers.linear import Linear
from paribus.layers.mixer import Mixer, MixerConfig
from paribus.layers.width import width
from paribus.ops.precision import widened
from paribus.positions.base import Position
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.theory import flops, memory


class GatedChunks(Mixer):
    class Config(MixerConfig):
        source: ClassVar[str] = "Hua et al., Transformer Quality in Linear Time, arXiv:2202.10447, section 4"
        takes_masks: ClassVar[bool] = False
        key_dim: int = 128  # s
        value_dim: int | None = None  # e; None: 2 d_model
        chunk: int = 256  # C
        activation: Activation = SiLU()
        position: Position = Rotary()
        mask: Mask = Causal()

        def check(self) -> None:
            require(self.key_dim >= 1, f"key_dim = {self.key_dim}: expected at least 1")
            require(self.value_dim is None or self.value_dim >= 1, f"value_dim = {self.value_dim}: expected at least 1")
            require(self.chunk >= 1, f"chunk = {self.chunk}: expected at least 1 token, usually 256")
            check_mask_of_sums(self.mask)
            check_turns_alone(self.position)
            self.position.check_head_dim(self.key_dim)
            check_order_is_told(self.position, self.mask)

        @property
        def d_value(self) -> int:
            return 2 * width(self) if self.value_dim is None else self.value_dim

        @property
        def causal(self) -> bool:
            return self.mask.causal

        def build(self) -> "GatedChunks":
            return GatedChunks(self)

        def n_parameters(self) -> int:
            return width(self) * (3 * self.d_value + self.key_dim) + 8 * self.key_dim

        def flops(self, length: int, causal: bool = False) -> int:
            projections = flops.linear(length, width(self), 3 * self.d_value + self.key_dim)
            shape = (length, self.key_dim, self.d_value, self.chunk)
            return projections + flops.chunked_mixture(*shape, far_causal=self.causal, causal=causal)

        def step_flops(self, length: int) -> int:
            projections = flops.linear(1, width(self), 3 * self.d_value + self.key_dim)
            return projections + flops.chunked_mixture_step(length, self.key_dim, self.d_value, self.chunk)

        def state_bytes(self, length: int, bytes_each: int = 4) -> int:
            return memory.chunk_state_bytes(self.chunk, self.key_dim, self.d_value, bytes_each)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        d_model = width(config)
        self.gate = Linear(d_model, config.d_value)
        self.value = Linear(d_model, config.d_value)
        self.shared = Linear(d_model, config.key_dim)
        self.query, self.key, self.far_query, self.far_key = (GainOffset(config.key_dim) for _ in range(4))
        self.out = Linear(config.d_value, d_model, gain=config.residual_gain)

    def forward(self, x: Tensor, positions: Tensor, mask: Mask | None = None) -> Tensor:
        """x (batch, length, d_model); no `mask` beside the layer's own."""
        _refuse(mask)
        if x.numel() == 0:
            return x
        config = self.config
        q, far_q, rows = self._project(x, positions)
        out, total, seen = [], None, 0
        chunks = list(zip(q.split(config.chunk, 1), far_q.split(config.chunk, 1), rows.split(config.chunk, 1)))
        if not config.causal:
            total, seen = self._grown(None, rows), x.shape[1]
        for index, (near_q, far, near) in enumerate(chunks):
            out.append(self._read(near_q, far, near, total, seen, 0))
            if config.causal and index + 1 < len(chunks):
                total, seen = self._grown(total, near), seen + near.shape[1]
        return self._out(x, torch.cat(out, dim=1))

    def start(self, batch: int, capacity: int, dtype: torch.dtype, device: torch.device) -> "OneChunk":
        """A state of constant size: `capacity` is not needed."""
        config = self.config
        refuse_to_look_ahead(config.mask)
        return OneChunk(batch, config.chunk, config.key_dim, config.d_value, dtype, device)

    def prefill(self, x: Tensor, positions: Tensor, state: Any, mask: Mask | None = None) -> tuple[Tensor, Any]:
        _refuse(mask)
        config = self.config
        shape = (config.chunk, 2 * config.key_dim + config.d_value)
        if not isinstance(state, OneChunk) or state.rows.shape[1:] != shape:
            raise InputError(
                f"a chunked gated unit of {shape[0]} rows of {shape[1]} numbers cannot read this "
                f"{type(state).__name__} state: start a state with this layer"
            )
        check_state_is_of(state, x)
        if x.numel() == 0:
            return x, state
        q, far_q, rows = self._project(x, positions)
        out, done = [], 0
        while done < x.shape[1]:
            held = state.length % config.chunk
            part = slice(done, done + min(config.chunk - held, x.shape[1] - done))
            n = part.stop - part.start
            state.rows[:, held : held + n] = rows[:, part]
            near = state.rows[:, : held + n]
            seen = state.length - held
            out.append(self._read(q[:, part], far_q[:, part], near, state.total if seen else None, seen, held))
            state.length += n
            if held + n == config.chunk:
                state.total = self._grown(state.total, near)
            done = part.stop
        return self._out(x, torch.cat(out, dim=1)), state

    def _project(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, q' and the rows [k, k', V], all turned by their places."""
        act, turn = self.config.activation, self.config.position.rotate
        shared = act(self.shared(x))
        q, far_q, k, far_k = (
            turn(each(shared)[:, None], positions)[:, 0]
            for each in (self.query, self.far_query, self.key, self.far_key)
        )
        return q, far_q, torch.cat((k, far_k, act(self.value(x))), dim=-1)

    def _parts(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        s = self.config.key_dim
        return rows[..., :s], rows[..., s : 2 * s], rows[..., 2 * s :]

    def _read(self, q: Tensor, far_q: Tensor, near: Tensor, total: Tensor | None, seen: int, held: int) -> Tensor:
        """Queries that stand behind `held` tokens of their chunk; `total` sums `seen` tokens of other chunks."""
        config = self.config
        k, _, v = self._parts(near)
        pairs = (q @ k.transpose(1, 2) * config.key_dim**-0.5).relu().square() / config.chunk
        if config.causal:
            pairs = pairs.tril(held)
        y = pairs @ v
        if total is None:
            return y
        return y + (widened(far_q) @ (total / seen)).to(y.dtype)

    def _grown(self, total: Tensor | None, near: Tensor) -> Tensor:
        _, far_key, value = self._parts(near)
        grown = widened(far_key).transpose(1, 2) @ widened(value)
        return grown if total is None else total + grown

    def _out(self, x: Tensor, y: Tensor) -> Tensor:
        return self.out(self.config.activation(self.gate(x)) * y)


class OneChunk:
    """rows: [k, k', V] of the tokens of the chunk that is being filled; total: sum of k' V^T over earlier chunks."""

    def __init__(
        self, batch: int, chunk: int, key_dim: int, value_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.rows = torch.zeros(batch, chunk, 2 * key_dim + value_dim, dtype=dtype, device=device)
        wide = torch.float32 if dtype.itemsize < 4 else dtype
        self.total = torch.zeros(batch, key_dim, value_dim, dtype=wide, device=device)
        self.length = 0

    @property
    def batch(self) -> int:
        return len(self.rows)

    def nbytes(self) -> int:
        return self.rows.numel() * self.rows.element_size() + self.total.numel() * self.total.element_size()


def _refuse(mask: Mask | None) -> None:
    if mask is not None:
        raise InputError(
            f"chunks are counted from the first token, which {type(mask).__name__} would move: give sequences of one "
            "length and one document each, or use GatedUnit"
        )


GatedChunks.Config.examples = (
    GatedChunks.Config(d_model=24, key_dim=8, chunk=5),
    GatedChunks.Config(d_model=24, key_dim=7, value_dim=31, chunk=256, position=NoPosition()),
)
