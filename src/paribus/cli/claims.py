"""`paribus claims`: the list, from an index, so that it answers at once."""


def claims() -> None:
    """List the claims with source, arms, profiles, cost and last verdict."""
