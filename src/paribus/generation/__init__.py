"""From a model and a prompt to text, one token at a time over a cache."""
