"""Floating-point operations of the common shapes: 2 per multiply-add, matmuls and scans only, forward pass.

Counted as a dense backend executes them: attention scores for all n x n pairs. `causal=True` gives the second figure,
where the pairs above the diagonal are skipped. A training step costs 3 forward passes.
"""

TRAINING_FACTOR = 3


def linear(tokens: int, d_in: int, d_out: int) -> int:
    """A d_in x d_out matrix applied to every token: 2 * tokens * d_in * d_out."""
    return 2 * tokens * d_in * d_out


def attention(n_queries: int, n_keys: int, n_heads: int, head_dim: int, value_dim: int, causal: bool = False) -> int:
    """Scores and weighted values: 2 * pairs * n_heads * (head_dim + value_dim).

    `causal` counts the pairs that a causal query can see when the last query sees every key: with n queries over n keys
    n (n + 1) / 2 instead of n^2.
    """
    pairs = n_queries * n_keys
    if causal:
        pairs -= n_queries * (n_queries - 1) // 2
    return 2 * pairs * n_heads * (head_dim + value_dim)


def quadratic_crossover(d_model: int, causal: bool = False) -> int:
    """Length at which the quadratic part of a plain layer costs as much as its linear part.

    Linear part 24 d^2 per token (4 projections, feed-forward of width 4 d), quadratic part 4 n d, or 2 n d when the
    pairs above the diagonal are skipped: n = 6 d, or 12 d.
    """
    return (12 if causal else 6) * d_model
