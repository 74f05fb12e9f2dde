"""Losses of a whole output layer, computed in chunks: no buffer of batch x length x vocabulary."""
