"""Bytes of a training run and of a decoding cache, as sums that can be checked by hand."""

POSITION = 8  # bytes of the position of a token, int64
ADAMW_STATES = 2  # first and second moment, both in the parameter's own precision


def training_bytes(n_parameters: int, activation_bytes: int, bytes_per_parameter: int = 4) -> int:
    """Parameters, gradients, two AdamW moments and the activations kept for the backward pass."""
    return (2 + ADAMW_STATES) * n_parameters * bytes_per_parameter + activation_bytes


def decoder_activation_bytes(
    tokens: int, length: int, d_model: int, d_ff: int, n_layers: int, n_heads: int, vocab_size: int, bytes_each: int = 4
) -> int:
    """An upper estimate of what autograd keeps for a pre-norm decoder with materialised attention scores.

    Per token and layer: about 12 vectors of d_model (norms, projections, rotations, residuals), 2 of d_ff and
    3 rows of scores per head; once: the logits and their softmax.
    """
    per_layer = 12 * d_model + 2 * d_ff + 3 * n_heads * length
    return tokens * bytes_each * (n_layers * per_layer + 2 * vocab_size)


def reading_bytes(
    length: int, d_model: int, d_ff: int, heads_width: int, vocab_size: int, last: int, bytes_each: int = 4
) -> int:
    """An upper estimate of what one forward pass holds at a time, the parameters left out, with fused attention.

    In a layer, per token: the residual stream, a norm, a sum and tables, and the larger of 3 vectors of d_ff and 9 of
    all heads (queries, keys and values raw and turned, angles, the output and its merge). At the end: the residual
    stream, the logits of the `last` tokens and their softmax. heads_width: n_heads * head_dim.
    """
    in_a_layer = length * (5 * d_model + max(3 * d_ff, 9 * heads_width))
    at_the_end = length * d_model + 3 * last * vocab_size
    return bytes_each * max(in_a_layer, at_the_end)


def kv_cache_bytes(length: int, n_kv_heads: int, head_dim: int, bytes_each: int = 4) -> int:
    """Keys and values of one layer and one sequence: 2 * length * n_kv_heads * head_dim numbers."""
    return 2 * length * n_kv_heads * head_dim * bytes_each


def latent_cache_bytes(length: int, latent: int, rope_dim: int, bytes_each: int = 4) -> int:
    """One latent and one rotary key, shared by all heads, of one layer and one sequence."""
    return length * (latent + rope_dim) * bytes_each


def linear_state_bytes(n_heads: int, features: int, value_dim: int, bytes_each: int = 4) -> int:
    """Sums over keys and values of one layer and one sequence, at any length; in float32 or wider."""
    return n_heads * features * (value_dim + 1) * max(4, bytes_each)


def row_cache_bytes(length: int, width: int, bytes_each: int = 4) -> int:
    """One row of `width` numbers a token, of one layer and one sequence: a key beside a wider value."""
    return length * width * bytes_each


def chunk_state_bytes(chunk: int, key_dim: int, value_dim: int, bytes_each: int = 4) -> int:
    """Two keys and a value of one chunk's tokens, and the sum over earlier chunks in float32 or wider."""
    return chunk * (2 * key_dim + value_dim) * bytes_each + key_dim * value_dim * max(4, bytes_each)


def code_table_bytes(
    n_heads: int, n_codes: int, value_dim: int, near: int, bytes_each: int = 4, placed: bool = False
) -> int:
    """Mean value and count of every code in float32 or wider, and a value and an index of `near` tokens, per head.

    placed: the positions of near tokens, too.
    """
    table = n_codes * (value_dim + 1) * max(4, bytes_each)
    return n_heads * (table + near * (value_dim * bytes_each + 4)) + placed * near * POSITION
