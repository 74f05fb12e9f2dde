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


def linear_attention(length: int, n_heads: int, features: int, value_dim: int, normalised: bool = True) -> int:
    """Every query reads one sum over all keys: 4 * length * n_heads * features * value_dim, and the denominators."""
    denominator = linear(length, features, n_heads) if normalised else 0
    return 2 * linear(length, features, n_heads * value_dim) + denominator


def chunked_linear_attention(
    length: int, n_heads: int, features: int, value_dim: int, chunk: int, normalised: bool = True, causal: bool = False
) -> int:
    """Sums across chunks, all pairs within them; `causal` skips the pairs above the diagonal."""
    whole, rest = divmod(length, chunk)
    pairs = [attention(m, m, n_heads, features, value_dim, causal=causal) for m in (chunk, rest)]
    return linear_attention(length, n_heads, features, value_dim, normalised) + whole * pairs[0] + pairs[1]


def chunked_mixture(
    length: int, key_dim: int, value_dim: int, chunk: int, far_causal: bool = True, causal: bool = False
) -> int:
    """All pairs within chunks; across them one sum, read by every token that has one and fed by every earlier chunk.

    far_causal: the sum holds earlier chunks only, else all tokens. `causal` skips the pairs above the diagonal.
    """
    whole, rest = divmod(length, chunk)
    pairs = [attention(m, m, 1, key_dim, value_dim, causal=causal) for m in (chunk, rest)]
    reading = length - min(length, chunk) if far_causal else length
    feeding = max(0, -(-length // chunk) - 1) * chunk if far_causal else length
    return whole * pairs[0] + pairs[1] + linear(reading + feeding, key_dim, value_dim)


def chunked_mixture_step(length: int, key_dim: int, value_dim: int, chunk: int) -> int:
    """Token number `length` reads its chunk so far and the sum, and the last of a chunk feeds all of it to the sum."""
    held = (length - 1) % chunk + 1
    reading = 1 if length > chunk else 0
    feeding = chunk if held == chunk else 0
    return attention(1, held, 1, key_dim, value_dim) + linear(reading + feeding, key_dim, value_dim)


def block_attention(
    length: int,
    n_codes: int,
    block: int,
    n_heads: int,
    head_dim: int,
    value_dim: int,
    turned: bool = False,
    causal: bool = False,
) -> int:
    """Softmax over quantised keys: each block reads itself, the one before, and from the third on a table of codes.

    A key has one coordinate more, for the logarithm of its count. turned: near pairs are scored twice, by turned and by
    plain vectors. `causal` skips pairs above the diagonal.
    """
    whole, rest = divmod(length, block)
    before = max(0, length - block) * block
    own = whole * block**2 + rest**2
    if causal:
        own = whole * (block * (block + 1) // 2) + rest * (rest + 1) // 2
    near = own + before
    # The last block, when it is not full, is scored against all columns of its slot.
    scored = near if causal or length <= block else near + rest * (block - rest) * (rest > 0)
    far = max(0, length - 2 * block) * n_codes
    pairs = (scored + far) * (head_dim + 1 + value_dim) + (near * head_dim if turned else 0)
    return 2 * n_heads * pairs


def block_attention_step(
    length: int, n_codes: int, block: int, n_heads: int, head_dim: int, value_dim: int, turned: bool = False
) -> int:
    """Token number `length` reads the table of codes and what is near: all tokens of the block before and its own.

    Every score of a code is needed, since near keys are codes too. A step that ends a block, from the second on, takes
    the way of many tokens (block_attention), over the two whole blocks that it then holds.
    """
    if length < 2 * block or length % block:
        near = length if length < block else block + length % block
        scores = n_codes * head_dim + (near * head_dim if turned else 0)
        return 2 * n_heads * (scores + (n_codes + near) * value_dim)
    near, far = 2 * block, n_codes if length > 2 * block else 0
    return 2 * n_heads * ((near + far) * (head_dim + 1 + value_dim) + (near * head_dim if turned else 0))


def latent_weights(
    d_model: int, n_heads: int, head_dim: int, value_dim: int, latent: int, rope_dim: int, query_latent: int | None
) -> int:
    """Numbers of the matrices of a latent attention (MLA); the expanded form spends 2 FLOPs a token on each."""
    wide = n_heads * (head_dim + rope_dim)
    query = d_model * wide if query_latent is None else query_latent * (d_model + wide)
    keys_values = d_model * (latent + rope_dim) + latent * n_heads * (head_dim + value_dim)
    return query + keys_values + n_heads * value_dim * d_model


def latent_expanded(
    n_queries: int, n_keys: int, n_heads: int, head_dim: int, value_dim: int, latent: int, rope_dim: int
) -> int:
    """Latents to the keys and values of all heads, then attention over them: what prefill pays."""
    unfold = linear(n_keys, latent, n_heads * (head_dim + value_dim))
    return unfold + attention(n_queries, n_keys, n_heads, head_dim + rope_dim, value_dim)


def latent_absorbed(
    n_queries: int, n_keys: int, n_heads: int, head_dim: int, value_dim: int, latent: int, rope_dim: int
) -> int:
    """Queries taken to the latents, attention over these, read values taken back: what decoding pays."""
    fold = linear(n_queries, latent, n_heads * (head_dim + value_dim))
    return fold + attention(n_queries, n_keys, n_heads, latent + rope_dim, latent)


def quadratic_crossover(d_model: int, causal: bool = False) -> int:
    """Length at which the quadratic part of a plain layer costs as much as its linear part.

    Linear part 24 d^2 per token (4 projections, feed-forward of width 4 d), quadratic part 4 n d, or 2 n d when the
    pairs above the diagonal are skipped: n = 6 d, or 12 d.
    """
    return (12 if causal else 6) * d_model
