"""Layers with and without parameters, and the contract of every sequence mixer."""
