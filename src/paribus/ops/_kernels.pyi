compiled_for: str

def causal_softmax(half: bool, scores: int, rows: int, n: int, period: int, scale: float, threads: int) -> None: ...
def causal_softmax_backward(
    half: bool, gradient: int, weights: int, rows: int, n: int, period: int, scale: float, threads: int
) -> None: ...
def rms_norm(
    half_in: bool, half_out: bool, x: int, gain: int, y: int, inverse: int, rows: int, d: int, eps: float, threads: int
) -> None: ...
def rms_norm_backward(
    half_in: bool,
    half_out: bool,
    x: int,
    gain: int,
    inverse: int,
    dy: int,
    dx: int,
    gain_rows: int,
    rows: int,
    d: int,
    block: int,
    threads: int,
) -> None: ...

Array = tuple[int, int, int, int]

def one_query(
    half: bool,
    runs: list[tuple[Array, Array, Array, int]],
    sizes: tuple[int, int, int, int, int],
    seen: int,
    seen_batch: int,
    scale: float,
    out: int,
    threads: int,
) -> None: ...

SpanRun = tuple[Array, Array, int, int, int, int]

def span_attention(
    runs: list[SpanRun],
    v: Array,
    sizes: tuple[int, int, int, int, int, int],
    scale: float,
    out: int,
    log_sums: int,
    threads: int,
) -> None: ...
def span_attention_backward(
    run: SpanRun,
    v: Array,
    gradient: Array,
    out: int,
    log_sums: int,
    sizes: tuple[int, int, int, int, int, int],
    lengths: tuple[int, int, int],
    scale: float,
    dq: int,
    dk: int,
    dv: int,
    threads: int,
) -> None: ...
def few_rows(x: int, w: int, y: int, rows: int, n_in: int, n_out: int, threads: int) -> None: ...
def block_rows(bytes: bool, x: int, w: int, y: int, rows: int, n_in: int, n_out: int, threads: int) -> None: ...
def rotate(
    half: bool,
    x: int,
    strides: tuple[int, int, int],
    y: int,
    y_strides: tuple[int, int, int],
    cos: int,
    sin: int,
    angle_batch: int,
    batch: int,
    heads: int,
    length: int,
    pairs: int,
    sign: float,
    threads: int,
) -> None: ...
def cross_entropy(
    half: bool, logits: int, targets: int, ignored: int, log_sum: int, losses: int, rows: int, n: int, threads: int
) -> None: ...
def cross_entropy_backward(
    half: bool,
    logits: int,
    targets: int,
    ignored: int,
    log_sum: int,
    gradient: int,
    factor: float,
    rows: int,
    n: int,
    threads: int,
) -> None: ...
def attention_available() -> bool: ...
def attention(
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    log_sums: int,
    sizes: tuple[int, int, int, int, int, int],
    scale: float,
    threads: int,
) -> None: ...
def attention_backward(
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    log_sums: int,
    d_out: Array,
    d_q: Array,
    d_k: Array,
    d_v: Array,
    sizes: tuple[int, int, int, int, int, int],
    scale: float,
    threads: int,
) -> None: ...
