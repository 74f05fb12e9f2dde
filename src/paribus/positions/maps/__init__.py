"""Relative-position maps: the score of a pair at distance delta is that of the distance f(delta)."""
