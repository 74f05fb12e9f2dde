"""Numbers in, numbers out: costs, bounds and laws. Imports no torch."""
