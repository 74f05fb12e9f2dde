"""Scores to weights: softmax and its alternatives."""
