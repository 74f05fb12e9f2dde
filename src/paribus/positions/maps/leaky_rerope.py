"""f(d) = d inside the window w, w + (d - w) / k outside, d = m - n >= 0, and f(-d) = -f(d).

k > 1 is Leaky ReRoPE: far distances are squeezed, with w + (longest - w) / k at most half of the trained length.
k < 1 is the inverse form: a model is *trained* with it, so that distances up to w + (trained - w) / k are seen in
training, and is then read with plain RoPE; best found: 1/k = 2 s, w = trained / 4, s the expansion.
"""

from typing import ClassVar

from torch import Tensor

from paribus.core.config import require
from paribus.positions.maps.base import MapPiece, PositionMap
from paribus.positions.pairs import Ahead, Far, Near


class LeakyReRoPE(PositionMap):
    source: ClassVar[str] = (
        "苏剑林, Transformer升级之路：12、无限外推的ReRoPE？, 2023-08-07, kexue.fm/archives/9708; "
        "13、逆用Leaky ReRoPE, 2023-08-14, kexue.fm/archives/9728"
    )
    window: int
    factor: float  # k > 0; 1 is plain RoPE

    def check(self) -> None:
        require(self.window >= 1, f"window = {self.window}: expected at least 1, about a quarter of the trained length")
        require(
            self.factor > 0,
            f"factor = {self.factor}: expected k > 0; above 1 squeezes far distances, below 1 stretches them",
        )

    def __call__(self, m: Tensor, n: Tensor) -> Tensor:
        distance = (m - n).double()
        beyond = (distance.abs() - self.window).clamp(min=0) / self.factor
        return distance.clamp(-self.window, self.window) + beyond * distance.sign()

    def pieces(self) -> list[MapPiece]:
        w, k = self.window, self.factor

        def later(p: Tensor) -> Tensor:
            return (p.double() - w) / k + w

        def earlier(p: Tensor) -> Tensor:
            return p.double() / k

        return [
            MapPiece(Near(w)),
            MapPiece(Far(w), query=later, key=earlier),
            MapPiece(Ahead(w), query=earlier, key=later),
        ]


LeakyReRoPE.examples = (
    LeakyReRoPE(window=1, factor=3.0),
    LeakyReRoPE(window=5, factor=2.0),
    LeakyReRoPE(window=4, factor=0.25),
)
