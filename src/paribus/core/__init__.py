"""Configuration, errors, seeds and discovery: what every room stands on. Imports no torch."""
