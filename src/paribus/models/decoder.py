"""A pre-norm decoder: any mixer and any feed-forward network in any layer.

    x_0 = E[token];  x' = x + mixer(norm(x));  x'' = x' + feed_forward(norm(x'));  logits = norm(x_L) W

Matrices are drawn from N(0, 1/d_in), those that write into the residual stream are divided by sqrt(2 n_layers), the
embedding from N(0, 0.02^2). Seed s draws each parameter by (s, name), so arms share what they have in common.
"""

from dataclasses import replace
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from paribus.core.config import Part, require
from paribus.layers.embedding import Embedding
from paribus.layers.feed_forward.base import FeedForwardConfig
from paribus.layers.linear import Linear
from paribus.layers.mixer import Mixer, MixerConfig
from paribus.layers.norms.base import NormConfig
from paribus.layers.norms.rms_norm import RMSNorm
from paribus.layers.width import with_width
from paribus.models.places import LayerPlaces, TokensRead
from paribus.theory import flops

C = TypeVar("C", MixerConfig, FeedForwardConfig)


class Block(nn.Module):
    """One layer: a mixer between tokens and a network within each token, both on the residual stream."""

    def __init__(self, mixer: MixerConfig, feed_forward: FeedForwardConfig, norm: NormConfig) -> None:
        super().__init__()
        self.mixer_norm = norm.build()
        self.mixer: Mixer = mixer.build()
        self.feed_forward_norm = norm.build()
        self.feed_forward = feed_forward.build()

    def forward(self, x: Tensor, positions: Tensor, mask: Any = None) -> Tensor:
        x = x + self.mixer(self.mixer_norm(x), positions, mask)
        return x + self.feed_forward(self.feed_forward_norm(x))

    def prefill(self, x: Tensor, positions: Tensor, state: Any, mask: Any = None) -> tuple[Tensor, Any]:
        y, state = self.mixer.prefill(self.mixer_norm(x), positions, state, mask)
        x = x + y
        return x + self.feed_forward(self.feed_forward_norm(x)), state


class DecoderLM(nn.Module):
    class Config(Part):
        source: ClassVar[str] = "Radford et al., Language Models are Unsupervised Multitask Learners, 2019"
        families: ClassVar[tuple[str, ...]] = ("paribus.models",)
        n_layers: int
        d_model: int
        # One for every layer, or a tuple that is repeated from the first layer to the last.
        mixer: MixerConfig | tuple[MixerConfig, ...]
        feed_forward: FeedForwardConfig | tuple[FeedForwardConfig, ...]
        norm: NormConfig = RMSNorm.Config()
        vocab_size: int = 256
        tie_embeddings: bool = True

        def check(self) -> None:
            require(self.n_layers >= 1, f"n_layers = {self.n_layers}: expected at least 1")
            require(self.d_model >= 1, f"d_model = {self.d_model}: expected a positive width")
            require(self.vocab_size >= 2, f"vocab_size = {self.vocab_size}: expected at least 2")
            for kind, pattern in (("mixers", self.mixer), ("feed-forward networks", self.feed_forward)):
                if isinstance(pattern, tuple):
                    require(
                        1 <= len(pattern) <= self.n_layers and self.n_layers % len(pattern) == 0,
                        f"{len(pattern)} {kind} cannot be repeated over {self.n_layers} layers: use a divisor",
                    )
            # Their own widths and heads must fit this model.
            self.layer_mixers()
            self.layer_feed_forwards()
            self.layer_norm()
            LayerPlaces(self.layer_mixers())

        def layer_mixers(self) -> list[MixerConfig]:
            """The mixer of each layer, with this model's width."""
            return self._of_layers(self.mixer)

        def layer_feed_forwards(self) -> list[FeedForwardConfig]:
            """The feed-forward network of each layer, with this model's width."""
            return self._of_layers(self.feed_forward)

        def _of_layers(self, parts: C | tuple[C, ...]) -> list[C]:
            pattern = parts if isinstance(parts, tuple) else (parts,)
            gain = (2 * self.n_layers) ** -0.5
            repeated = pattern * (self.n_layers // len(pattern))
            return [replace(with_width(part, self.d_model), residual_gain=gain) for part in repeated]

        def layer_norm(self) -> NormConfig:
            return with_width(self.norm, self.d_model)

        @property
        def causal(self) -> bool:
            return all(mixer.causal for mixer in self.layer_mixers())

        @property
        def reads_input(self) -> bool:
            """True when some layer lets the tokens of an input see each other: see models.given_input."""
            return any(mixer.reads_input for mixer in self.layer_mixers())

        @property
        def d_ff(self) -> int:
            """The inner width of the feed-forward network, of several the largest."""
            return max(network.d_ff for network in self.layer_feed_forwards())

        def with_d_ff(self, d_ff: int) -> Self:
            """The same model with another inner width: the knob of the budget. Of several, all keep their ratios."""
            if isinstance(self.feed_forward, tuple):
                widths = [max(1, round(network.d_ff * d_ff / self.d_ff)) for network in self.feed_forward]
                pairs = zip(self.feed_forward, widths, strict=True)
                return replace(self, feed_forward=tuple(replace(network, d_ff=one) for network, one in pairs))
            return replace(self, feed_forward=replace(self.feed_forward, d_ff=d_ff))

        def with_mixer(self, **changes: Any) -> Self:
            """The same model with fields of every mixer changed: `model.with_mixer(position=NoPosition())`."""
            if isinstance(self.mixer, tuple):
                return replace(self, mixer=tuple(replace(mixer, **changes) for mixer in self.mixer))
            return replace(self, mixer=replace(self.mixer, **changes))

        def build(self) -> "DecoderLM":
            return DecoderLM(self)

        def n_parameters(self) -> int:
            layers = sum(mixer.n_parameters() for mixer in self.layer_mixers())
            layers += sum(network.n_parameters() for network in self.layer_feed_forwards())
            norms = (2 * self.n_layers + 1) * self.layer_norm().n_parameters()
            tables = self.vocab_size * self.d_model * (1 if self.tie_embeddings else 2)
            return layers + norms + tables

        def active_parameters(self) -> int:
            """Of all parameters those that one token meets: all but the experts that are not chosen."""
            idle = sum(network.n_parameters() - network.active_parameters() for network in self.layer_feed_forwards())
            return self.n_parameters() - idle

        def flops(self, length: int, causal: bool = False) -> int:
            """Forward FLOPs of one sequence; training costs three times as many."""
            mixers = sum(mixer.flops(length, causal=causal) for mixer in self.layer_mixers())
            networks = sum(network.flops(length) for network in self.layer_feed_forwards())
            return mixers + networks + flops.linear(length, self.d_model, self.vocab_size)

        def state_bytes(self, length: int, bytes_each: int = 4) -> int:
            return sum(mixer.state_bytes(length, bytes_each) for mixer in self.layer_mixers())

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config.vocab_size, config.d_model)
        norm, parts = config.layer_norm(), zip(config.layer_mixers(), config.layer_feed_forwards(), strict=True)
        self.layers = nn.ModuleList(Block(mixer, feed_forward, norm) for mixer, feed_forward in parts)
        self.places = LayerPlaces(config.layer_mixers())
        self.norm = norm.build()
        self.head = None if config.tie_embeddings else Linear(config.d_model, config.vocab_size)

    def forward(
        self, tokens: Tensor, positions: Tensor | None = None, mask: Any = None, last: int | None = None
    ) -> Tensor:
        """tokens int64 (batch, length) -> logits (batch, length, vocab_size), or those of the `last` tokens only.

        positions int64 (batch or 1, length), by default 0, 1, 2, ..., or places (batch or 1, length, 2) for position
        codes of two coordinates, see models.places; `mask` narrows the mask of every layer.
        """
        x = self._read(tokens, positions, mask)
        return self._logits(x if last is None else x[:, -last:])

    def hidden(self, tokens: Tensor, positions: Tensor | None = None, mask: Any = None) -> Tensor:
        """What the output matrix is applied to: (batch, length, d_model), so that logits = hidden output_matrix^T."""
        normed: Tensor = self.norm(self._read(tokens, positions, mask))
        return normed

    @property
    def output_matrix(self) -> Tensor:
        """(vocab_size, d_model): the head's, or the embedding where they are tied."""
        return self.embedding.weight if self.head is None else self.head.weight

    def start(self, batch: int, capacity: int) -> list[Any]:
        """An empty decoding state of every layer, for at most `capacity` tokens; and their list, if places need it."""
        weight = self.embedding.weight
        state: list[Any] = [block.mixer.start(batch, capacity, weight.dtype, weight.device) for block in self._blocks()]
        return [*state, TokensRead(batch, capacity, weight.device)] if self.places.needs_tokens else state

    def prefill(
        self, tokens: Tensor, positions: Tensor, state: list[Any], mask: Any = None, last: int | None = None
    ) -> tuple[Tensor, list[Any]]:
        """Read the next tokens, any number of them, and return their logits and the state after them."""
        x = self.embedding(tokens)
        *layers, read = state if self.places.needs_tokens else [*state, None]
        each = self.places(tokens if read is None else read.append(tokens), positions)
        after = []
        for block, before, at in zip(self._blocks(), layers, each, strict=True):
            x, new = block.prefill(x, at, before, mask)
            after.append(new)
        return self._logits(x if last is None else x[:, -last:]), after if read is None else [*after, read]

    def _read(self, tokens: Tensor, positions: Tensor | None, mask: Any) -> Tensor:
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
        x: Tensor = self.embedding(tokens)
        for layer, at in zip(self.layers, self.places(tokens, positions), strict=True):
            x = layer(x, at, mask)
        return x

    def _blocks(self) -> list[Block]:
        return [layer for layer in self.layers if isinstance(layer, Block)]

    def _logits(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return self.embedding.logits(x) if self.head is None else self.head(x)
