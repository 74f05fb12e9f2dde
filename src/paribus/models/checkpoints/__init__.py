"""Checkpoints made elsewhere: found, read, turned into our decoder and written back with Hugging Face's names."""
