"""Rewrites of the inverse frequencies theta_i = base^(-2i/d): free at run time."""
