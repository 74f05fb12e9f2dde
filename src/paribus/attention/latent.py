"""Multi-head latent attention (MLA): keys and values of all heads are read from one narrow vector a token.

    c_n = W_c x_n (d_c);  k_h = [W_k^h c_n, R_n W_r x_n];  v_h = W_v^h c_n;  q_h = [W_q^h x_m, R_m W_qr^h x_m]

The rotary part (d_r) comes from x and is shared by all heads, so that W_k^h can move to the query's side:

    expanded   <q, k> as it stands: the cheaper form for many queries, and the one that trains
    absorbed   <W_k^h^T q_content, c_n> + <q_rope, k_rope>, values c_n, then W_v^h: one key head for all queries

Both scale by 1 / sqrt(d_k + d_r). The cache holds d_c + d_r numbers a token, whatever the number of heads; a norm of
the latent, when asked for, is applied before it is stored. The absorbed query is computed as two products: W_q and W_k
are never multiplied with one another, which would cost more and round worse.
"""

from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from paribus.attention import backends
from paribus.attention.attend import attend
from paribus.attention.checks import check_heads_divide, check_state_is_of
from paribus.attention.decoupled import Decoupled
from paribus.attention.masks.base import Mask
from paribus.attention.masks.causal import Causal
from paribus.attention.scales.base import Scale
from paribus.attention.scales.inverse_sqrt import InverseSqrt
from paribus.attention.token_rows import TokenRows
from paribus.attention.visibility import Visibility, refuse_to_look_ahead, visibility
from paribus.core.config import require
from paribus.core.errors import InputError
from paribus.layers.linear import Linear
from paribus.layers.mixer import Mixer, MixerConfig
from paribus.layers.norms.base import NormConfig
from paribus.layers.norms.rms_norm import RMSNorm
from paribus.layers.width import width, with_width
from paribus.normalizers.base import Normalizer
from paribus.normalizers.softmax import Softmax
from paribus.positions.base import Piece, Position
from paribus.positions.rotary import Rotary
from paribus.theory import flops, memory

Form = Literal["auto", "expanded", "absorbed"]


class Latent(Mixer):
    class Config(MixerConfig):
        source: ClassVar[str] = (
            "DeepSeek-AI, DeepSeek-V2, arXiv:2405.04434; 苏剑林, 缓存与效果的极限拉扯：从MHA、MQA、GQA到MLA, "
            "2024-05-13, kexue.fm/archives/10091"
        )
        n_heads: int
        latent: int  # d_c, numbers that keys and values of all heads are read from
        rope_dim: int  # d_r, numbers of a key that carry its position, shared by all heads; 0: none do
        head_dim: int | None = None  # d_k, content of a key; None: d_model / n_heads
        value_dim: int | None = None  # d_v; None: head_dim
        query_latent: int | None = None  # None: queries come from x itself
        latent_norm: NormConfig | None = None  # norm of both latents
        position: Position = Rotary()
        scale: Scale = InverseSqrt()
        normalizer: Normalizer = Softmax()
        mask: Mask = Causal()

        def check(self) -> None:
            check_heads_divide(self)
            require(self.latent >= 1, f"latent = {self.latent}: expected at least 1")
            require(self.rope_dim >= 0, f"rope_dim = {self.rope_dim}: expected 0 or more")
            require(
                not self.scale.changes_keys,
                f"{type(self.scale).__name__} changes keys, which are not held in full here: use a scale of the query",
            )
            self.mask.check_heads(self.n_heads)
            self.normalizer.check_heads(self.n_heads)
            decoupled = Decoupled(inner=self.position, width=self.rope_dim)
            if not decoupled.sees_order:
                require(
                    self.mask.causal and not self.mask.reads_input,
                    f"nothing tells the order of the tokens under {type(self.mask).__name__}: use a causal mask, or "
                    "rope_dim > 0 with a position code",
                )
            if self.head_dim is None and self.d_model is None:
                return
            require(self.d_head >= 1 and self.d_value >= 1, "head_dim and value_dim: expected at least 1")
            heads = self.n_heads * (self.d_head + self.d_value)
            require(
                self.latent <= heads,
                f"latent = {self.latent} is wider than what it compresses, n_heads (head_dim + value_dim) = {heads}: "
                f"give at most {heads}",
            )
            queries = self.n_heads * (self.d_head + self.rope_dim)
            require(
                self.query_latent is None or 1 <= self.query_latent <= queries,
                f"query_latent = {self.query_latent}: expected 1 to n_heads (head_dim + rope_dim) = {queries}, or None",
            )

        @property
        def d_head(self) -> int:
            return width(self) // self.n_heads if self.head_dim is None else self.head_dim

        @property
        def d_value(self) -> int:
            return self.d_head if self.value_dim is None else self.value_dim

        @property
        def causal(self) -> bool:
            return self.mask.causal

        @property
        def reads_input(self) -> bool:
            return self.mask.reads_input

        def build(self) -> "Latent":
            return Latent(self)

        def norms(self) -> list[NormConfig]:
            """Those of the latents that have one: of keys and values, then of queries."""
            if self.latent_norm is None:
                return []
            widths = (self.latent,) if self.query_latent is None else (self.latent, self.query_latent)
            return [with_width(self.latent_norm, each) for each in widths]

        @property
        def projections(self) -> int:
            """Numbers of all matrices; each meets every token once."""
            shape = (self.n_heads, self.d_head, self.d_value, self.latent, self.rope_dim, self.query_latent)
            return flops.latent_weights(width(self), *shape)

        def n_parameters(self) -> int:
            norms = sum(norm.n_parameters() for norm in self.norms())
            return self.projections + norms + self.normalizer.n_parameters()

        def flops(self, length: int, causal: bool = False) -> int:
            projections = 2 * length * self.projections
            turned = Decoupled(inner=self.position, width=self.rope_dim)
            matrices = 1 if causal else turned.score_matrices(self.mask.causal and not self.mask.reads_input)
            key = matrices * (self.d_head + self.rope_dim)
            return projections + flops.attention(length, length, self.n_heads, key, self.d_value, causal=causal)

        def step_flops(self, length: int) -> int:
            """In the cheaper form."""
            heads, latent, rope = self.n_heads, self.latent, self.rope_dim
            apart = 2 * (self.projections - latent * heads * (self.d_head + self.d_value))
            shape = (1, length, heads, self.d_head, self.d_value, latent, rope)
            absorbed, expanded = flops.latent_absorbed(*shape), flops.latent_expanded(*shape)
            turned = Decoupled(inner=self.position, width=rope)
            more = turned.score_matrices(self.mask.causal and not self.mask.reads_input) - 1
            key = latent + rope if absorbed < expanded else self.d_head + rope
            return apart + min(absorbed, expanded) + flops.attention(1, length, heads, more * key, 0)

        def state_bytes(self, length: int, bytes_each: int = 4) -> int:
            rows = memory.latent_cache_bytes(length, self.latent, self.rope_dim, bytes_each)
            return rows + self.decoupled().reads_key_positions * length * memory.POSITION

        def decoupled(self) -> Decoupled:
            return Decoupled(inner=self.position, width=self.rope_dim)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        d_model, heads = width(config), config.n_heads
        d_query = heads * (config.d_head + config.rope_dim)
        norms = [norm.build() for norm in config.norms()]
        self.latent = Linear(d_model, config.latent)
        self.latent_norm = norms[0] if norms else None
        self.key_rope = Linear(d_model, config.rope_dim) if config.rope_dim > 0 else None
        self.key = Linear(config.latent, heads * config.d_head)
        self.value = Linear(config.latent, heads * config.d_value)
        self.query_latent = None if config.query_latent is None else Linear(d_model, config.query_latent)
        self.query_latent_norm = norms[1] if len(norms) > 1 else None
        self.query = Linear(d_model if config.query_latent is None else config.query_latent, d_query)
        self.out = Linear(heads * config.d_value, d_model, gain=config.residual_gain)
        self.normalizer = config.normalizer.build()
        self.position = config.decoupled()

    def forward(self, x: Tensor, positions: Tensor, mask: Mask | None = None, form: Form = "expanded") -> Tensor:
        """x (batch, length, d_model); `mask` narrows the layer's own mask (padding, documents); form as in prefill."""
        if x.numel() == 0:
            return x
        form = self._form(form, x.shape[1], x.shape[1])
        seen = self._visible(x, 0, mask)
        rows = self._rows(x)
        return self._attend(self._queries(x), rows, positions, positions, seen, form, rotated=False)

    def start(self, batch: int, capacity: int, dtype: torch.dtype, device: torch.device) -> TokenRows:
        refuse_to_look_ahead(self.config.mask)
        return TokenRows(
            batch, capacity, self.config.latent + self.config.rope_dim, dtype, device, self.position.reads_key_positions
        )

    def prefill(
        self, x: Tensor, positions: Tensor, state: Any, mask: Mask | None = None, form: Form = "auto"
    ) -> tuple[Tensor, Any]:
        """form: "auto" takes the one of fewer FLOPs, which for single tokens is the absorbed one."""
        width = self.config.latent + self.config.rope_dim
        if not isinstance(state, TokenRows) or state.rows.shape[-1] != width:
            raise InputError(
                f"a latent attention of {width} numbers a token cannot read this {type(state).__name__} cache: "
                "start a cache with this layer"
            )
        check_state_is_of(state, x)
        if x.numel() == 0:
            return x, state
        form = self._form(form, x.shape[1], state.length + x.shape[1])
        seen = self._visible(x, state.length, mask)
        rows = self._rows(x)
        if self.position.separable:
            rows = self.position.rotate_key(rows[:, None], positions)[:, 0]
        rows, k_positions = state.append(rows, positions)
        queries = self._queries(x)
        return self._attend(queries, rows, positions, k_positions, seen, form, self.position.separable), state

    def cheaper(self, n_queries: int, n_keys: int) -> Form:
        """The form with fewer FLOPs for so many queries over so many stored tokens."""
        config = self.config
        shape = (n_queries, n_keys, config.n_heads, config.d_head, config.d_value, config.latent, config.rope_dim)
        return "absorbed" if flops.latent_absorbed(*shape) < flops.latent_expanded(*shape) else "expanded"

    def _form(self, form: Form, n_queries: int, n_keys: int) -> Form:
        if form not in get_args(Form):
            raise InputError(f"form = {form!r}: expected one of {', '.join(map(repr, get_args(Form)))}")
        return self.cheaper(n_queries, n_keys) if form == "auto" else form

    def _visible(self, x: Tensor, n_before: int, extra: Mask | None) -> Visibility:
        config = self.config
        return visibility(config.mask, extra, config.scale, len(x), config.n_heads, n_before, x.shape[1], x)

    def _rows(self, x: Tensor) -> Tensor:
        """[c, W_r x]: (batch, length, d_c + d_r), not rotated."""
        latent = self.latent(x)
        if self.latent_norm is not None:
            latent = self.latent_norm(latent)
        return latent if self.key_rope is None else torch.cat((latent, self.key_rope(x)), dim=-1)

    def _queries(self, x: Tensor) -> Tensor:
        """(batch, heads, length, d_k + d_r), not rotated."""
        if self.query_latent is not None:
            x = self.query_latent(x)
            if self.query_latent_norm is not None:
                x = self.query_latent_norm(x)
        return self._heads(self.query(x))

    def _heads(self, y: Tensor) -> Tensor:
        return y.unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)

    def _attend(
        self,
        q: Tensor,
        rows: Tensor,
        q_positions: Tensor,
        k_positions: Tensor | None,
        seen: Visibility,
        form: Form,
        rotated: bool,
    ) -> Tensor:
        q, _, scale = self.config.scale(q, q, seen.n_keys)  # no scale of the contract of this layer changes keys
        program = self._absorbed if form == "absorbed" else self._expanded
        y = program(q, rows, q_positions, k_positions, seen, scale, rotated)
        return self.out(y.transpose(1, 2).flatten(2))

    def _expanded(
        self,
        q: Tensor,
        rows: Tensor,
        q_positions: Tensor,
        k_positions: Tensor | None,
        seen: Visibility,
        scale: float,
        rotated: bool,
    ) -> Tensor:
        latent, rope = rows.split((self.config.latent, self.config.rope_dim), dim=-1)
        k = self._heads(self.key(latent))
        if self.config.rope_dim > 0:
            k = torch.cat((k, rope[:, None].expand(-1, self.config.n_heads, -1, -1)), dim=-1)
        return backends.run(
            q,
            k,
            self._heads(self.value(latent)),
            position=self.position,
            q_positions=q_positions,
            k_positions=k_positions,
            keys_rotated=rotated,
            scale=scale,
            normalizer=self.normalizer,
            mask=seen.mask,
            causal=seen.causal,
            plain_causal=seen.plain_causal,
        )

    def _absorbed(
        self,
        q: Tensor,
        rows: Tensor,
        q_positions: Tensor,
        k_positions: Tensor | None,
        seen: Visibility,
        scale: float,
        rotated: bool,
    ) -> Tensor:
        config, heads = self.config, self.config.n_heads
        content, rope = q.split((config.d_head, config.rope_dim), dim=-1)
        into = self.key.weight.unflatten(0, (heads, -1))  # (heads, d_k, d_c)
        q = torch.cat((_per_head(content, into), rope), dim=-1)
        keys = rows[:, None]
        if rotated:
            pieces = [Piece(self.position.rotate(q, q_positions), keys, None)]
        else:
            assert k_positions is not None
            pieces = self.position.pieces(q, keys, q_positions, k_positions, seen.causal)
        mask = seen.mask
        if seen.plain_causal:
            mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).tril()
        read = attend(
            pieces,
            keys[..., : config.latent],
            scale=scale,
            normalizer=self.normalizer,
            mask=mask,
            bias=None if k_positions is None else self.position.bias(heads, q_positions, k_positions),
        )
        return _per_head(read, self.value.weight.unflatten(0, (heads, -1)).transpose(1, 2))


def _per_head(x: Tensor, matrices: Tensor) -> Tensor:
    """x (batch, heads, n, a) times matrices (heads, a, b), each head with its own, without copying them per batch."""
    batch, heads, n, _ = x.shape
    y = torch.bmm(x.transpose(0, 1).reshape(heads, batch * n, -1), matrices)
    return y.unflatten(1, (batch, n)).transpose(0, 1)


Latent.Config.examples = (
    Latent.Config(d_model=24, n_heads=4, latent=10, rope_dim=4),
    Latent.Config(d_model=24, n_heads=3, latent=7, rope_dim=2, head_dim=5, value_dim=6, query_latent=9),
    Latent.Config(d_model=24, n_heads=4, latent=48, rope_dim=0, latent_norm=RMSNorm.Config(), query_latent=11),
)
