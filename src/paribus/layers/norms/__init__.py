"""Normalisation of vectors."""
