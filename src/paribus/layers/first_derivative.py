"""A backward pass written by hand has no derivative of its own: say so instead of dropping terms in silence."""

import torch


def first_derivative_only(name: str) -> None:
    """Called in a backward pass: raises NotImplementedError when it is itself to be differentiated."""
    if torch.is_grad_enabled():
        raise NotImplementedError(
            f"{name} has a backward pass written by hand, which cannot be differentiated again (create_graph=True): "
            "use another part for second derivatives"
        )
