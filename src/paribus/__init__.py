"""paribus: a laboratory of fair trials for sequence models (ceteris paribus, other things being equal)."""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # Lazy, so that importing the package, or the tokenizer alone, loads no torch.
    if name == "Tokenizer":
        from paribus.tokenizer.tokenizer import Tokenizer

        return Tokenizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
