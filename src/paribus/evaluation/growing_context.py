"""Loss on the same final tokens of a text while only the context before them grows."""

from collections.abc import Callable, Sequence

from torch import Tensor

from paribus.core.errors import InputError
from paribus.evaluation.reader import Reader, losses


def growing_context(
    read: Reader,
    tokens: Tensor,
    contexts: Sequence[int],
    last: int = 1024,
    tell: Callable[[int, float], None] = lambda context, loss: None,
) -> dict[int, float]:
    """Context length -> mean loss of the last `last` tokens in nats, each context counting them in.

    tokens int64 (n,) of one text. tell: called after each context, since long ones take minutes.
    Raises InputError for a text shorter than the longest context or a context shorter than `last`.
    """
    need = max(contexts) + 1
    if len(tokens) < need:
        raise InputError(
            f"the text has {len(tokens)} tokens, contexts up to {max(contexts)} need {need}: give a longer text, or a "
            "shorter --to"
        )
    if min(contexts) < last:
        raise InputError(f"a context of {min(contexts)} tokens is shorter than the {last} that are scored")
    found = {}
    for context in sorted(contexts):
        found[context] = float(losses(read, tokens[None, -(context + 1) :], last).mean())
        tell(context, found[context])
    return found
