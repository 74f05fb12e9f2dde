"""Claims about sequence mixers and their caches."""
