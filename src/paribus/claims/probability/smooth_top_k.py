"""A smooth top-k finds the features that matter, where a hard one with a borrowed gradient misses some."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paribus.core.seed import derive
from paribus.lab.claim import Arm, Claim, Measured, Profile
from paribus.lab.predictions import Equivalent, Greater
from paribus.normalizers.topk.base import SmoothTopK
from paribus.normalizers.topk.exponential import ExponentialTopK
from paribus.normalizers.topk.gradient import GradTopK
from paribus.normalizers.topk.laplace import LaplaceTopK
from paribus.normalizers.topk.sigmoid import SigmoidTopK

FEATURES, RELEVANT, HIDDEN = 40, 5, 32
STEPS, BATCH, NET_RATE, SCORE_RATE = 400, 128, 3e-3, 3e-2
TEMPERATURES = (0.1, 0.3, 1.0)


def measure(arm: dict[str, Any], replicate: int) -> dict[str, float]:
    """Choose 5 of 40 features while learning from them, and test with the choice made hard.

    Features are N(0, I); the label is the sign of 16 sines of the 5 that matter. 40 scores s and a network of two
    hidden layers are trained together on x * p(s), where p is the operator's top-k, or with "hard" the 0/1 top-k whose
    gradient is the operator's (straight-through). Every arm takes the best of three temperatures by 2000 examples of
    their own. World, start and batches are those of the replicate.
    """
    tried = [_train(replace(arm["operator"], temperature=t), arm["hard"], replicate) for t in TEMPERATURES]
    _, accuracy, found = max(tried)
    return {"accuracy": accuracy, "found": found}


def _train(operator: SmoothTopK, hard: bool, replicate: int) -> tuple[float, float, float]:
    random = torch.Generator().manual_seed(derive(replicate, "selection"))
    relevant = torch.randperm(FEATURES, generator=random)[:RELEVANT]
    into, shift = torch.randn(16, RELEVANT, generator=random), torch.randn(16, generator=random)
    out = torch.randn(16, generator=random)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, FEATURES, generator=random)
        return x, (torch.sin(x[:, relevant] @ into.T + shift) @ out > 0).float()

    validation, test = draw(2000), draw(4000)
    scores = (0.01 * torch.randn(FEATURES, generator=random)).requires_grad_()
    net = nn.Sequential(
        nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
    )
    with torch.no_grad():
        for weight in net.parameters():
            std = weight.shape[-1] ** -0.5 if weight.ndim > 1 else 0.0
            weight.copy_(std * torch.randn(weight.shape, generator=random))
    optimizer = torch.optim.Adam([{"params": net.parameters(), "lr": NET_RATE}, {"params": [scores], "lr": SCORE_RATE}])

    def chosen() -> Tensor:
        return torch.zeros(FEATURES).index_fill(0, scores.detach().topk(RELEVANT).indices, 1.0)

    for _ in range(STEPS):
        x, y = draw(BATCH)
        p = operator.select(scores)
        if hard:
            p = chosen() + (p - p.detach())
        loss = F.binary_cross_entropy_with_logits(net(x * p)[:, 0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def accuracy(x: Tensor, y: Tensor) -> float:
        with torch.no_grad():
            return ((net(x * chosen())[:, 0] > 0) == (y > 0)).float().mean().item()

    return accuracy(*validation), accuracy(*test), chosen()[relevant].mean().item()


def arm(name: str, operator: SmoothTopK, hard: bool = False) -> Arm:
    return Arm(name, {"operator": operator, "hard": hard})


SEEN = "informed by a sketch of 3 worlds"

claim = Claim(
    title="Learning what to select",
    statement="Features that are selected by a smooth top-k in training, and by a hard one in use, are more often the "
    "right ones, and the network on them is more accurate by a point, than with straight-through selection.",
    source="苏剑林, Softmax后传：寻找Top-K的光滑近似, 2024-09-19, kexue.fm/archives/10373; the post has no experiment",
    arms=[
        arm("laplace", LaplaceTopK(k=RELEVANT)),
        arm("sigmoid", SigmoidTopK(k=RELEVANT)),
        arm("exponential", ExponentialTopK(k=RELEVANT)),
        arm("subsets", GradTopK(k=RELEVANT)),
        arm("straight-through", LaplaceTopK(k=RELEVANT), hard=True),
    ],
    task=Measured(
        measure=measure, unit="draw of a world", units={"accuracy": "of test examples", "found": "of the 5 features"}
    ),
    profiles={"smoke": Profile(seeds=range(2)), "laptop": Profile(seeds=range(14))},
    primary="smooth-before-hard",
    predicts=[
        Greater(
            "smooth-before-hard",
            "laplace",
            than="straight-through",
            metric="accuracy",
            by=0.01,
            margin=0.01,
            provenance=f"{SEEN} (+0.04)",
            dated="2026-11-22",
        ),
        Greater(
            "finds-more",
            "laplace",
            than="straight-through",
            metric="found",
            margin=0.05,
            provenance=f"{SEEN} (all 5 against 4.3 to 4.7)",
            dated="2026-11-22",
        ),
        *(
            Equivalent(
                f"laplace-as-{other}",
                "laplace",
                than=other,
                metric="accuracy",
                margin=0.01,
                provenance=f"{SEEN} (within 0.01 of one another)",
                dated="2026-11-22",
            )
            for other in ("sigmoid", "exponential", "subsets")
        ),
    ],
    notes="Straight-through: the 0/1 choice in the forward pass, the gradient of the two-sided exponential in the "
    "backward pass. Smooth arms are trained on weights between 0 and 1 and tested on 0 and 1.",
)
