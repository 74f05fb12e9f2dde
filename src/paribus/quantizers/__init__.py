"""Vectors to the nearest of finitely many codes."""
