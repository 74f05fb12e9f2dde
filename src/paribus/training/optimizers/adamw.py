"""AdamW: m <- b1 m + (1-b1) g, v <- b2 v + (1-b2) g^2, w <- w - lr (m^ / (sqrt(v^) + eps) + decay w).

Weight decay acts on matrices and embeddings only.
"""

from typing import Any, ClassVar

import torch
from torch import nn

from paribus.core.config import require
from paribus.layers.parameters import decayed
from paribus.training.optimizers.base import OptimizerRecipe


class AdamW(OptimizerRecipe):
    source: ClassVar[str] = "Loshchilov and Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101"
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1

    def check(self) -> None:
        require(all(0 <= b < 1 for b in self.betas), f"betas = {self.betas}: expected two numbers in [0, 1)")
        require(self.eps > 0, f"eps = {self.eps}: expected a positive number")
        require(self.weight_decay >= 0, f"weight_decay = {self.weight_decay}: expected at least 0")

    def make(self, model: nn.Module) -> torch.optim.Optimizer:
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [w for w in trained if decayed(w)], "weight_decay": self.weight_decay},
            {"params": [w for w in trained if not decayed(w)], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=1.0, betas=self.betas, eps=self.eps, fused=True
        )


AdamW.examples = (AdamW(),)
