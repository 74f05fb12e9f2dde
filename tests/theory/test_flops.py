"""FLOPs of the common shapes: counted one by one, and where quadratic meets linear."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.theory import flops

SMALL = st.integers(1, 12)


@given(SMALL, SMALL, SMALL)
def test_a_matrix_is_two_per_multiply_add(tokens, d_in, d_out):
    counted = sum(2 for _ in range(tokens) for _ in range(d_in) for _ in range(d_out))
    assert flops.linear(tokens, d_in, d_out) == counted


@given(SMALL, SMALL, SMALL, SMALL, SMALL)
def test_attention_pair_by_pair(n_queries, more, heads, head_dim, value_dim):
    n_keys = n_queries + more - 1
    each = 2 * heads * (head_dim + value_dim)
    pairs = [(q, k) for q in range(n_queries) for k in range(n_keys)]
    # The last query sees every key: query q stands at place q + n_keys - n_queries.
    seen = [(q, k) for q, k in pairs if k <= q + n_keys - n_queries]
    assert flops.attention(n_queries, n_keys, heads, head_dim, value_dim) == each * len(pairs)
    assert flops.attention(n_queries, n_keys, heads, head_dim, value_dim, causal=True) == each * len(seen)


@pytest.mark.parametrize("d_model", [1, 64, 128, 4096])
@pytest.mark.parametrize(("causal", "factor"), [(False, 6), (True, 12)])
def test_the_quadratic_part_catches_up(d_model, causal, factor):
    """Linear part: 4 projections and a network of width 4 d, 24 d^2 a token."""
    n = flops.quadratic_crossover(d_model, causal)
    assert n == factor * d_model
    linear = 4 * flops.linear(n, d_model, d_model) + 2 * flops.linear(n, d_model, 4 * d_model)
    quadratic = flops.attention(n, n, 1, d_model, d_model, causal=causal)
    assert linear == 24 * n * d_model**2
    # With pairs skipped the diagonal stays: n (n + 1) / 2 pairs, not n^2 / 2.
    assert quadratic == pytest.approx(linear, rel=1 / n)
    if not causal:
        assert quadratic == linear


def test_training_is_three_forward_passes():
    assert flops.TRAINING_FACTOR == 3


def test_a_step_over_chunks_and_blocks():
    """By hand: 3 tokens a chunk, keys of 2 and values of 5 numbers; then 4 codes, blocks of 3, one head of 2 and 5."""
    pair, product = 2 * (2 + 5), 2 * 2 * 5
    steps = [flops.chunked_mixture_step(n, 2, 5, 3) for n in range(1, 8)]
    fed = 3 * product
    assert steps == [
        pair,
        2 * pair,
        3 * pair + fed,
        pair + product,
        2 * pair + product,
        3 * pair + product + fed,
        steps[3],
    ]
    steps = [flops.block_attention_step(n, 4, 3, 1, 2, 5) for n in range(1, 11)]
    near = [2 * (4 * 2 + (4 + held) * 5) for held in (1, 2, 3, 4, 5)]
    ended = [2 * held * (2 + 1 + 5) for held in (6, 6 + 4)]
    assert steps == [*near, ended[0], near[3], near[4], ended[1], near[3]]
    turned = flops.block_attention_step(4, 4, 3, 1, 2, 5, turned=True)
    assert turned == near[3] + 2 * 4 * 2
