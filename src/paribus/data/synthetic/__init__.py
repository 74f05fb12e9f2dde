"""Synthetic tasks: drawn, not read, and each asks for one ability."""
