"""Transformer-VQ: softmax attention over quantised keys, exact in linear time.

    k^_n = the code nearest to k_n;  o_m = softmax over n<=m of (c q_m k^_n + b(m - n)) v_n

b is a learned bias of the nearest distances, which takes the place of a position code. RoPE cannot: turned keys are no
finite set. ReRoPE can, since pairs at least w apart are scored by R_w q_m and the key as it is: the far part then is
quantised un-turned, and the near part (w at most a block) is turned code by code.

Two blocks of keys and values are near: there gradients reach keys (straight through) and values. All that is older is
a table of S codes with their mean values and counts, without gradient. Codes follow the keys (quantizers/ema.py). The
loss that keeps keys near their codes rides on the output, with the quantizer's own weight.

Without a causal mask nothing is near: all tokens are in the table. It is made anew by every call, so that gradients
reach values through the means; keys have none but that of the riding loss, and with a commitment of 0 their matrix
stays as it was drawn. Padding is in no table, moves no code and adds nothing to that loss.
"""

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from paribus.attention.checks import check_heads_divide, check_mask_of_sums, check_state_is_of
from paribus.attention.code_table import CodeTable
from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.padding import hides_keys_only, valid_keys
from paribus.attention.scales.base import Scale
from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.attention.visibility import refuse_to_look_ahead
from paribus.attention.vq_blocks import HIDDEN, Blocks, Far, block_attention, near_bias
from paribus.core.config import part_name, require
from paribus.core.errors import InputError
from paribus.layers.linear import Linear
from paribus.layers.mixer import Mixer, MixerConfig
from paribus.layers.parameters import parameter
from paribus.layers.width import width
from paribus.ops.auxiliary import riding
from paribus.ops.precision import widened
from paribus.positions.base import Position
from paribus.positions.maps.rerope import ReRoPE
from paribus.positions.no_position import NoPosition
from paribus.positions.rotary import Rotary
from paribus.quantizers.base import QuantizerConfig
from paribus.quantizers.ema import EMA
from paribus.quantizers.nearest import look_up, nearest
from paribus.quantizers.vq import VQ
from paribus.theory import flops, memory


class VQAttention(Mixer):
    class Config(MixerConfig):
        source: ClassVar[str] = (
            "Lingle, Transformer-VQ, arXiv:2309.16354; 苏剑林, VQ一下Key，Transformer的复杂度就变成线性了, 2023-11-09, "
            "kexue.fm/archives/9844"
        )
        revision: ClassVar[int] = 2
        differentiable: ClassVar[bool] = False
        n_heads: int
        head_dim: int | None = None  # None: d_model / n_heads
        quantizer: QuantizerConfig = EMA.Config(n_codes=512, commitment=1e-4)  # codes for each head
        block: int = 128  # tokens; the own and the previous block are near
        biased: int | None = None  # distances 0 ... biased - 1 have a learned bias; None: a block, or none under ReRoPE
        position: Position = NoPosition()
        scale: Scale = InverseSqrt()
        mask: Mask = Causal()

        def check(self) -> None:
            check_heads_divide(self)
            require(self.block >= 1, f"block = {self.block}: expected at least 1 token")
            require(
                0 <= self.n_biased <= self.block,
                f"biased = {self.biased}: expected 0 to block = {self.block} distances, since only what is near may "
                "be told apart by its place",
            )
            require(
                isinstance(self.quantizer, (EMA.Config, VQ.Config)),
                f"{part_name(type(self.quantizer))} holds no list of codes to share their exponentials: use EMA or VQ",
            )
            check_mask_of_sums(self.mask)
            require(
                isinstance(self.position, NoPosition) or self.window is not None,
                f"{type(self.position).__name__} turns far keys, which then are no finite set and cannot be quantised: "
                "use Rotary(map=ReRoPE(window=w)), whose far keys are not turned, or NoPosition() with its bias",
            )
            require(
                self.window is None or self.window <= self.block,
                f"window = {self.window}: expected at most block = {self.block}, since all turned keys must be near",
            )
            require(
                self.causal or (self.window is None and self.n_biased == 0),
                "without a causal mask all keys are far and none has a place: use NoPosition() and biased=0, and tell "
                "places to the model in another way",
            )
            if self.head_dim is not None or self.d_model is not None:
                self.position.check_head_dim(self.d_head)
                self.codebook()

        @property
        def d_head(self) -> int:
            return width(self) // self.n_heads if self.head_dim is None else self.head_dim

        @property
        def window(self) -> int | None:
            """ReRoPE's window, or None."""
            position = self.position
            return position.map.window if isinstance(position, Rotary) and isinstance(position.map, ReRoPE) else None

        @property
        def n_biased(self) -> int:
            if self.biased is None:
                return self.block if self.window is None and self.causal else 0
            return self.biased

        def codebook(self) -> QuantizerConfig:
            """The quantizer with this layer's heads and width."""
            for name, wanted, free in (("width", self.d_head, None), ("groups", self.n_heads, 1)):
                given = getattr(self.quantizer, name)
                require(
                    given in (free, wanted),
                    f"quantizer.{name} = {given} in a layer of {self.n_heads} heads of {self.d_head}: leave it out",
                )
            return replace(self.quantizer, width=self.d_head, groups=self.n_heads)

        @property
        def causal(self) -> bool:
            return self.mask.causal

        def build(self) -> "VQAttention":
            return VQAttention(self)

        def n_parameters(self) -> int:
            matrices = 4 * width(self) * self.n_heads * self.d_head
            learned = self.codebook().n_parameters() + self.scale.n_parameters(self.d_head)
            return matrices + learned + self.n_heads * self.n_biased

        def flops(self, length: int, causal: bool = False) -> int:
            projections = flops.linear(length, width(self), 4 * self.n_heads * self.d_head)
            shape = (self.n_heads, self.d_head, self.d_head)
            if not self.causal:
                reading = flops.attention(length, self.quantizer.n_codes, *shape)
            else:
                blocks = (self.quantizer.n_codes, self.block)
                reading = flops.block_attention(length, *blocks, *shape, turned=self.window is not None, causal=causal)
            return projections + self.codebook().flops(length) + reading

        def step_flops(self, length: int) -> int:
            projections = flops.linear(1, width(self), 4 * self.n_heads * self.d_head)
            shape = (length, self.quantizer.n_codes, self.block, self.n_heads, self.d_head, self.d_head)
            reading = flops.block_attention_step(*shape, turned=self.window is not None)
            return projections + self.codebook().flops(1) + reading

        def state_bytes(self, length: int, bytes_each: int = 4) -> int:
            return memory.code_table_bytes(
                self.n_heads, self.quantizer.n_codes, self.d_head, 2 * self.block, bytes_each, self.window is not None
            )

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        d_model, d_heads = width(config), config.n_heads * config.d_head
        self.query = Linear(d_model, d_heads)
        self.key = Linear(d_model, d_heads)
        self.value = Linear(d_model, d_heads)
        self.out = Linear(d_heads, d_model, gain=config.residual_gain)
        self.scale = config.scale.build(config.d_head)
        self.quantizer = config.codebook().build()
        # Flat, as weight decay acts on matrices.
        self.bias = parameter((config.n_heads * config.n_biased,), std=0.0) if config.n_biased else None

    def forward(self, x: Tensor, positions: Tensor, mask: Mask | None = None) -> Tensor:
        """x (batch, length, d_model); `mask` narrows the layer's own mask. Positions rise by one among what is seen."""
        if x.numel() == 0:
            return x
        config = self.config
        q, raw, v, scale = self._project(x, 0)
        by_pairs = not hides_keys_only(mask)
        valid = None if by_pairs else valid_keys(mask, len(x), 0, x.shape[1], x.device)
        # Keys that no query sees are nobody's: they move no code.
        seen = self._pairs(q, mask).any(-2) if by_pairs else None if valid is None else valid[:, None]
        # The quantizer moves its codes in training: a call reads all keys, near and far, by those that it began with.
        codes = self.quantizer.codes.clone() if self.training else self.quantizer.codes
        k, which, loss = self.quantizer(raw, seen)
        if by_pairs:
            y = self._dense(q, k, v, positions, mask, scale)
        else:
            which = which if valid is None else which.masked_fill(~valid[:, None], -1)
            if config.causal:
                y, _ = self._blocks(q, k, v, which, codes, positions, None, 0, scale)
            else:
                y = self._table(q, v, which, codes, scale)
        y = self._out(y.to(x.dtype))
        return riding(y, loss) if self.training and loss.requires_grad else y

    def start(self, batch: int, capacity: int, dtype: torch.dtype, device: torch.device) -> CodeTable:
        """A state of constant size: `capacity` is not needed."""
        config = self.config
        refuse_to_look_ahead(config.mask)
        return CodeTable(
            batch,
            config.n_heads,
            config.quantizer.n_codes,
            config.d_head,
            2 * config.block,
            dtype,
            device,
            placed=config.window is not None,
        )

    def prefill(self, x: Tensor, positions: Tensor, state: Any, mask: Mask | None = None) -> tuple[Tensor, Any]:
        config = self.config
        shape = (config.n_heads, config.quantizer.n_codes, config.d_head)
        if not isinstance(state, CodeTable) or state.mean.shape[1:] != shape or state.room != 2 * config.block:
            raise InputError(
                f"quantised attention of {shape[0]} heads, {shape[1]} codes and blocks of {config.block} cannot read "
                f"this {type(state).__name__} state: start a state with this layer"
            )
        check_state_is_of(state, x)
        if x.numel() == 0:
            return x, state
        q, raw, v, scale = self._project(x, state.length)
        which = nearest(raw, self.quantizer.codes)
        valid = valid_keys(mask, len(x), state.length, x.shape[1], x.device)
        if valid is not None:
            which = which.masked_fill(~valid[:, None], -1)
        if x.shape[1] == 1 and state.held + 1 < state.room:
            state.add(which, v, positions)
            return self._out(self._step(q, state, scale).to(x.dtype)), state
        which, v, at = state.near(which, v, positions)
        k = look_up(self.quantizer.codes, which.clamp_min(0)).to(v.dtype)
        first = which.shape[2] - x.shape[1]
        y, far = self._blocks(q, k, v, which, self.quantizer.codes, at, state.far, first, scale)
        state.keep(which, v, at, far, config.block, x.shape[1])
        return self._out(y.to(x.dtype)), state

    def _project(self, x: Tensor, n_before: int) -> tuple[Tensor, Tensor, Tensor, float]:
        def heads(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)

        n_keys = None
        if self.config.scale.counts_keys:
            n = x.shape[1]
            last = torch.arange(n_before + 1, n_before + n + 1, device=x.device)
            n_keys = (last if self.config.causal else torch.full_like(last, n))[None, None]
        q, k, scale = self.scale(heads(self.query(x)), heads(self.key(x)), n_keys)
        return q, k, heads(self.value(x)), scale

    def _turned(self, q: Tensor, k: Tensor, q_positions: Tensor, k_positions: Tensor) -> tuple[Tensor, ...]:
        """Queries for far keys, and near queries and keys at their places."""
        rotate, window = self.config.position.rotate, self.config.window
        assert window is not None
        far = rotate(q, torch.full_like(q_positions, window))
        return far, rotate(q, q_positions), rotate(k, k_positions)

    def _blocks(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        which: Tensor,
        codes: Tensor,
        at: Tensor | None,
        far: Far | None,
        first: int,
        scale: float,
    ) -> tuple[Tensor, Far]:
        config, n_heads = self.config, self.config.n_heads
        with torch.autocast(q.device.type, enabled=False):
            q, k, v = widened(q), widened(k), widened(v)
            turned_q = turned_k = None
            if at is not None and config.window is not None:
                q, turned_q, turned_k = self._turned(q, k, at[:, first:], at)
            table = None if self.bias is None else self.bias.view(n_heads, -1)
            bias = near_bias(table, config.block, n_heads, q)
            blocks = Blocks(config.block, first, scale, config.window)
            y, after = block_attention(q, turned_q, k, turned_k, v, bias, which, codes, far, blocks)
        if bool((which < 0).any()):
            # A query that has nothing to see reads nothing.
            seen = (which >= 0).cumsum(-1)[:, :, first:]
            if far is not None:
                seen = seen + far.number.sum(-1).view(*which.shape[:2], 1)
            y = y.masked_fill((seen == 0).unsqueeze(-1), 0.0)
        return y, after

    def _step(self, q: Tensor, state: CodeTable, scale: float) -> Tensor:
        """One query over the table and what is near, itself the last of it; nothing is copied."""
        config, n = self.config, state.held
        with torch.autocast(q.device.type, enabled=False):
            q, codes = widened(q), widened(self.quantizer.codes).to(state.mean.dtype)
            which = state.codes[:, :, :n].long()
            index, near = which.clamp_min(0), None
            if config.window is not None and state.positions is not None:
                k, at = look_up(codes, index), state.positions[:, :n]
                q, turned_q, turned_k = self._turned(q, k, at[:, -1:], at)
                near = turned_q @ turned_k.transpose(2, 3)
            plain = torch.bmm(q[:, :, 0].transpose(0, 1), codes.transpose(1, 2)).transpose(0, 1).unsqueeze(2)
            own = plain.gather(3, index.unsqueeze(2))
            distance = torch.arange(n - 1, -1, -1, device=q.device)
            if near is not None and config.window is not None:
                own = near.where(distance < config.window, own)
            own = own * scale
            if self.bias is not None:
                table = self.bias.view(config.n_heads, -1)
                own = (
                    own
                    + table[:, distance.clamp_max(config.n_biased - 1)].where(distance < config.n_biased, 0.0)[:, None]
                )
            own = own.masked_fill((which < 0).unsqueeze(2), HIDDEN)
            logits = torch.cat((plain * scale + state.count.log().clamp_min(HIDDEN).unsqueeze(2), own), dim=3)
            far, near_weights = torch.softmax(logits, dim=3).split((codes.shape[1], n), dim=3)
            y = far @ state.mean + near_weights @ state.values[:, :, :n].to(far.dtype)
            seen = (which >= 0).any(-1) | (state.count.sum(-1) > 0)
            return y * seen[..., None, None]

    def _table(self, q: Tensor, v: Tensor, which: Tensor, codes: Tensor, scale: float) -> Tensor:
        """Without a causal mask: every query reads the one table of all tokens. Codes are not trained here."""
        with torch.autocast(q.device.type, enabled=False):
            q, v = widened(q), widened(v)
            codes = widened(codes.detach()).to(q.dtype)
            one_hot = torch.nn.functional.one_hot(which.clamp_min(0), codes.shape[1]).to(v.dtype)
            one_hot = one_hot * (which >= 0).unsqueeze(-1)
            count = one_hot.sum(2)
            mean = one_hot.transpose(2, 3) @ v / count.clamp_min(1).unsqueeze(-1)
            logits = q * scale @ codes.transpose(1, 2) + count.log().clamp_min(HIDDEN).unsqueeze(2)
            return torch.softmax(logits, -1) @ mean * count.any(-1)[..., None, None]

    def _dense(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, extra: Mask | None, scale: float) -> Tensor:
        """All pairs over quantised keys, with any mask: the slow twin of the blocks, gradients included."""
        config = self.config
        mask = self._pairs(q, extra)
        distance = (positions[:, :, None] - positions[:, None, :])[:, None]
        block = torch.arange(q.shape[2], device=q.device) // config.block
        near = (block[:, None] - block).abs() <= 1 if config.causal else torch.zeros_like(mask)
        with torch.autocast(q.device.type, enabled=False):
            q, k, v = widened(q), widened(k), widened(v)
            turned = None
            if config.window is not None:
                q, turned_q, turned_k = self._turned(q, k, positions, positions)
                turned = turned_q * scale @ turned_k.transpose(-1, -2)
            scores = q * scale @ k.transpose(-1, -2)
            scores = scores.where(near, q * scale @ k.detach().transpose(-1, -2))
            if turned is not None and config.window is not None:
                scores = turned.where(distance < config.window, scores)
            if self.bias is not None:
                inside = (distance >= 0) & (distance < config.n_biased)
                table = self.bias.view(config.n_heads, -1)
                each = table[:, distance[:, 0].clamp(0, config.n_biased - 1)].transpose(0, 1)
                scores = scores + each.where(inside, 0.0)
            weights = torch.softmax(scores.masked_fill(~mask, HIDDEN), dim=-1) * mask.any(-1, keepdim=True)
            # Without a causal mask the table is made anew by every call, and gradients reach the values through it.
            return weights * near @ v + weights * ~near @ v.detach() if config.causal else weights @ v

    def _pairs(self, q: Tensor, extra: Mask | None) -> Tensor:
        """Which keys each query sees, by the layer's mask and that of the call."""
        config, places = self.config, torch.arange(q.shape[2], device=q.device)
        return config.mask.within(extra).dense(len(q), config.n_heads, places, places)

    def _out(self, y: Tensor) -> Tensor:
        return self.out(y.transpose(1, 2).flatten(2))


VQAttention.Config.examples = (
    VQAttention.Config(d_model=24, n_heads=4, quantizer=EMA.Config(n_codes=7), block=4),
    VQAttention.Config(
        d_model=24, n_heads=3, quantizer=VQ.Config(n_codes=5), block=5, position=Rotary(map=ReRoPE(window=3))
    ),
)
