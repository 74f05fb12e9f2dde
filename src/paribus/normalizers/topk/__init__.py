"""Smooth top-k: weights in [0, 1] that sum to k."""
