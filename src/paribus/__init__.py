"""paribus: a laboratory of fair trials for sequence models (ceteris paribus, other things being equal)."""

__version__ = "0.1.0"
