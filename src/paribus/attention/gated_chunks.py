"""FLASH: the gated unit with all pairs inside chunks of C tokens, and linear attention across them.

    y_m = (U_m * (sum_{n in the chunk, n<=m} relu^2(q_m k_n / sqrt(s)) / C V_n  +  q'_m T / c)) W_o

T = sum of k'_n V_n^T over the c tokens of all earlier chunks; q, k, q', k' are four gains and offsets of one Z. Time
grows with n; decoding remembers one chunk and T. The published description leaves the size of T open: here it is the
mean over the tokens that it holds, so that nothing grows with the length, and a chunk is always divided by C.
Without a causal mask a chunk sees itself whole, and T is the sum over all tokens.

Chunks are counted from the first token that a sequence has: padding is no token, and each document of a packed row
counts its own (`forward` with all pairs). So a text reads the same alone and beside others.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from paribus.attention.checks import check_mask_of_sums, check_order_is_told, check_state_is_of, check_turns_alone
from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.masks.combine import And
from paribus.attention.masks.document import Document
from paribus.attention.masks.visible import Visible
from paribus.attention.one_chunk import OneChunk
from paribus.attention.padding import hides_keys_only, put_back, taken, tokens_first, valid_keys
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
        """x (batch, length, d_model); `mask` narrows the layer's own mask (padding, documents)."""
        if x.numel() == 0:
            return x
        if mask is not None and not hides_keys_only(mask):
            return self._dense(x, positions, mask)
        config, n = self.config, x.shape[1]
        order: Tensor | None = None
        n_seen: Tensor | int = n
        q, far_q, rows = self._project(x, positions)
        valid = valid_keys(mask, len(x), 0, n, x.device)
        if valid is not None:
            order, n_seen = tokens_first(valid), valid.sum(1)[:, None, None].clamp_min(1)
            rows = rows.masked_fill(~valid[..., None], 0)
            q, far_q, rows = (taken(each, order) for each in (q, far_q, rows))
        total = None if config.causal else self._product(rows)
        y = []
        chunks = list(zip(q.split(config.chunk, 1), far_q.split(config.chunk, 1), rows.split(config.chunk, 1)))
        for index, (near_q, far, near) in enumerate(chunks):
            mean = None if total is None else total / (index * config.chunk if config.causal else n_seen)
            y.append(self._read(near_q, far, near, 0, mean))
            if config.causal and index + 1 < len(chunks):
                total = self._product(near) if total is None else total + self._product(near)
        out = torch.cat(y, dim=1)
        if order is not None and valid is not None:
            out = put_back(out, order).masked_fill(~valid[..., None], 0)
        return self._out(x, out)

    def start(self, batch: int, capacity: int, dtype: torch.dtype, device: torch.device) -> OneChunk:
        """A state of constant size: `capacity` is not needed."""
        config = self.config
        refuse_to_look_ahead(config.mask)
        return OneChunk(batch, config.chunk, config.key_dim, config.d_value, dtype, device)

    def prefill(self, x: Tensor, positions: Tensor, state: Any, mask: Mask | None = None) -> tuple[Tensor, Any]:
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
        valid = valid_keys(mask, len(x), state.length, x.shape[1], x.device)
        new: list[int] = [x.shape[1]] * len(x)
        order: Tensor | None = None
        if valid is not None:
            order, new = tokens_first(valid), valid.sum(1).tolist()
            q, far_q, rows = (taken(each, order) for each in (q, far_q, rows))
        y = rows.new_zeros(*x.shape[:2], config.d_value)
        for part, who in state.parts(new):
            here: Any = slice(None) if len(who) == len(x) else torch.tensor(who, device=x.device)
            near, before, mean = state.take(rows[here, part], who)
            y[here, part] = self._read(q[here, part], far_q[here, part], near, before, mean).to(y.dtype)
            state.advance(part.stop - part.start, who, self._product)
        state.length += x.shape[1]
        return self._out(x, y if order is None else put_back(y, order)), state

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

    def _read(self, q: Tensor, far_q: Tensor, near: Tensor, before: Tensor | int, mean: Tensor | None) -> Tensor:
        """Queries that stand behind `before` tokens of their chunk; mean: of k' V^T over the tokens of other chunks."""
        config = self.config
        k, _, v = self._parts(near)
        pairs = (q @ k.transpose(1, 2) * config.key_dim**-0.5).relu().square() / config.chunk
        if config.causal:
            place = torch.arange(k.shape[1], device=k.device)
            pairs = pairs.masked_fill(place > before + place[: q.shape[1], None], 0)
        y = pairs @ v
        return y if mean is None else y + (widened(far_q) @ mean).to(y.dtype)

    def _dense(self, x: Tensor, positions: Tensor, mask: Mask) -> Tensor:
        """All pairs, as it is written: the slow twin, which honours documents too."""
        config = self.config
        _check_texts(mask)
        place = torch.arange(x.shape[1], device=x.device)
        seen = config.mask.within(mask).dense(len(x), 1, place, place)[:, 0]
        # Of each token, how many of its own text are not behind it, itself counted.
        number = (seen & (place <= place[:, None])).sum(-1)
        chunk = (number.clamp_min(1) - 1) // config.chunk
        query, key = chunk[:, :, None], chunk[:, None, :]
        far = seen & (key < query) if config.causal else seen
        q, far_q, rows = self._project(x, positions)
        k, far_k, v = self._parts(rows)
        pairs = (q @ k.transpose(1, 2) * config.key_dim**-0.5).relu().square() / config.chunk
        distant = widened(far_q) @ widened(far_k).transpose(1, 2) / far.sum(-1, keepdim=True).clamp_min(1)
        y = pairs.masked_fill(~(seen & (query == key)), 0) @ v
        return self._out(x, y + (distant.masked_fill(~far, 0) @ widened(v)).to(y.dtype))

    def _product(self, near: Tensor) -> Tensor:
        """k'^T V of all tokens of these rows."""
        _, far_key, value = self._parts(near)
        return widened(far_key).transpose(1, 2) @ widened(value)

    def _out(self, x: Tensor, y: Tensor) -> Tensor:
        return self.out(self.config.activation(self.gate(x)) * y)


def _check_texts(mask: Mask) -> None:
    """Padding and documents cut a row into texts; of anything else it cannot be said where its chunks begin."""
    if isinstance(mask, And):
        _check_texts(mask.left)
        _check_texts(mask.right)
    elif not isinstance(mask, Document | Visible):
        raise InputError(
            f"{type(mask).__name__}: chunks are counted from the first token of a text, and this mask does not say "
            "where one begins: use Visible (padding) and Document, or GatedUnit"
        )


GatedChunks.Config.examples = (
    GatedChunks.Config(d_model=24, key_dim=8, chunk=5),
    GatedChunks.Config(d_model=24, key_dim=7, value_dim=31, chunk=256, position=NoPosition()),
)
