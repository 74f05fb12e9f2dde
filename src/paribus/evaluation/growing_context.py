"""Loss on the same final tokens of a text while only the context before them grows."""

from collections.abc import Callable, Sequence

from torch import Tensor

from paribus.core.errors import InputError
from paribus.evaluation.reader import Reader, beginning, losses


def growing_context(
    read: Reader,
    tokens: Tensor,
    contexts: Sequence[int],
    last: int = 1024,
    tell: Callable[[int, float], None] = lambda context, loss: None,
    begin: Sequence[int] = (),
) -> dict[int, float]:
    """Context length -> mean loss of the last `last` tokens in nats, each context counting them in.

    tokens int64 (n,) of one text. tell: called after each context, since long ones take minutes. begin: tokens that the
    model reads before every text; each context counts them in, too.
    Raises InputError for a text shorter than the longest context or a context shorter than `last`.
    """
    need = max(contexts) + 1
    if len(tokens) < need:
        raise InputError(
            f"the text has {len(tokens)} tokens, contexts up to {max(contexts)} need {need}: give a longer text, or a "
            "shorter --to"
        )
    if min(contexts) - len(begin) < last:
        counted = f", {len(begin)} of them before the text," if begin else ""
        raise InputError(f"a context of {min(contexts)} tokens{counted} is shorter than the {last} that are scored")
    found = {}
    for context in sorted(contexts):
        window = beginning(begin, tokens[len(tokens) - (context + 1 - len(begin)) :])
        found[context] = float(losses(read, window[None], last).mean())
        tell(context, found[context])
    return found
