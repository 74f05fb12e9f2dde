"""`paribus new claim NAME`: a claim to start from."""


def new() -> None:
    """Write a commented claim."""
