"""Whole models made of parts."""
