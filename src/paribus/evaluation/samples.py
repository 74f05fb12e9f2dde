"""How near the drawn tokens come to the right ones, and the drawn text to real text.

    loss       mean -ln q_y over the held-out tokens
    distance   mean over them of sum_j q_j (1 - cos(e_j, e_y)): the expected distance of a drawn token to the right one
    bigrams    total variation 1/2 sum |p - p'| between the pairs of neighbours in drawn and in real text

The judge's vectors e are no model's: left singular vectors, times singular values, of the positive pointwise mutual
information of tokens at most two apart in the windows themselves, so that they are the same for every arm. Text is
drawn from softmax(logits) after the first tokens of each window that is long enough, and set against what follows
there. With few samples `bigrams` is above 0 for real text too; it serves to compare arms that draw equally much, by the
same random numbers.
"""

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paribus.core.config import require
from paribus.core.seed import generator
from paribus.data.batch import IGNORED, Batch
from paribus.data.source import Source
from paribus.evaluation.base import Metric
from paribus.generation.generate import generate
from paribus.generation.samplers.draw import Draw
from paribus.models.decoder import DecoderLM
from paribus.training.precision import autocast

TOKENS_AT_ONCE = 2048


class Samples(Metric):
    """For a DecoderLM; windows of text. `longest` tokens of each are read, and `drawn` follow the first `prompt`."""

    source: ClassVar[str] = (
        "Ren et al., EMO: Earth Mover Distance Optimization, arXiv:2310.04691; judge: Levy and Goldberg, Neural Word "
        "Embedding as Implicit Matrix Factorization, 2014"
    )
    length: int
    prompt: int = 16
    drawn: int = 32
    rank: int = 32  # of the judge's vectors

    def check(self) -> None:
        require(self.windows >= 1, f"windows = {self.windows}: expected at least 1")
        require(self.rank >= 1, f"rank = {self.rank}: expected at least 1")
        require(
            self.prompt >= 1 and self.drawn >= 2,
            f"prompt = {self.prompt}, drawn = {self.drawn}: expected a token to start from, and a pair to be drawn",
        )
        require(
            self.prompt + self.drawn <= self.length,
            f"length = {self.length}: expected room for {self.prompt} + {self.drawn} tokens",
        )

    @property
    def longest(self) -> int:
        return self.length

    def names(self) -> tuple[str, ...]:
        return ("loss", "distance", "bigrams")

    def unit(self, name: str) -> str:
        return {"loss": "nats per token", "distance": "1 - cosine", "bigrams": "total variation"}[name]

    def lower_is_better(self, name: str) -> bool:
        return True

    def worst(self, name: str, source: Source) -> float:
        """ln(vocabulary), a cosine of 0, no pair in common."""
        return math.log(source.vocab_size) if name == "loss" else 1.0

    def tokens_read(self) -> int:
        return self.windows * (self.length + self.prompt + self.drawn)

    @torch.no_grad()
    def measure(self, model: nn.Module, windows: Batch, dtype: str = "float32") -> dict[str, float]:
        require(isinstance(model, DecoderLM), f"{type(model).__name__}: Samples draws text from a DecoderLM only")
        assert isinstance(model, DecoderLM)
        tokens, targets = torch.from_numpy(windows.tokens), torch.from_numpy(windows.targets)
        given = (targets != IGNORED).sum(1)
        long_enough = given >= self.prompt + self.drawn
        require(
            bool(long_enough.any()),
            f"no window has {self.prompt} + {self.drawn} tokens, the longest {int(given.max())}: take longer windows",
        )
        device, vocabulary = next(model.parameters()).device, model.config.vocab_size
        judge = judge_vectors(windows, vocabulary, self.rank).to(device)
        loss, distance = 0.0, 0.0
        for read, wanted in zip(*(one.split(max(1, TOKENS_AT_ONCE // tokens.shape[1])) for one in (tokens, targets))):
            with autocast(dtype, device):
                logits = model(read.to(device)).float()
            kept = (wanted != IGNORED).to(device)
            log_q, y = F.log_softmax(logits[kept], -1), wanted.to(device)[kept]
            loss -= float(log_q.gather(-1, y[:, None]).double().sum())
            distance += float((1 - torch.linalg.vecdot(log_q.exp() @ judge, judge[y])).double().sum())
        counted = int(given.sum())
        start, real = tokens[long_enough, : self.prompt + self.drawn].split([self.prompt, self.drawn], dim=1)
        with autocast(dtype, device):
            text = generate(model, start.to(device), self.drawn, Draw(), seed=0).cpu()
        return {"loss": loss / counted, "distance": distance / counted, "bigrams": variation(text, real, vocabulary)}


def variation(one: Tensor, other: Tensor, vocabulary: int) -> float:
    """Total variation between the neighbours in two sets of rows, int64 (rows, n) each; in [0, 1]."""
    pairs = [(rows[:, :-1] * vocabulary + rows[:, 1:]).flatten() for rows in (one, other)]
    found, place = torch.cat(pairs).unique(return_inverse=True)
    shares = [
        torch.bincount(part, minlength=len(found)).double() / len(part) for part in place.split([len(p) for p in pairs])
    ]
    return 0.5 * float((shares[0] - shares[1]).abs().sum())


def judge_vectors(windows: Batch, vocabulary: int, rank: int) -> Tensor:
    """(vocabulary, at most rank) float32, rows of norm one, or zero for tokens that the windows do not hold."""
    counts = np.zeros((vocabulary, vocabulary))
    for apart in (1, 2):
        left, right = windows.tokens[:, :-apart], windows.tokens[:, apart:]
        held = windows.targets[:, apart:] != IGNORED  # the padding of short rows has no neighbours
        np.add.at(counts, (left[held], right[held]), 1.0)
    counts += counts.T
    total = max(1.0, counts.sum())
    share = counts.sum(1, keepdims=True) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(counts / total / (share * share.T))
    positive = np.where(np.isfinite(information), np.maximum(information, 0.0), 0.0)
    rank = min(rank, vocabulary)
    basis = np.linalg.qr(positive @ generator("judge").standard_normal((vocabulary, min(vocabulary, rank + 16))))[0]
    for _ in range(4):  # subspace iteration: the leading singular vectors without a whole decomposition
        basis = np.linalg.qr(positive @ (positive @ basis))[0]
    left, singular, _ = np.linalg.svd(basis.T @ positive, full_matrices=False)
    vectors = (basis @ left * singular)[:, :rank]
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return torch.from_numpy(np.where(norms > 1e-9, vectors / np.maximum(norms, 1e-9), 0.0)).float()


Samples.examples = (Samples(length=9, prompt=2, drawn=4, windows=4, rank=3),)
