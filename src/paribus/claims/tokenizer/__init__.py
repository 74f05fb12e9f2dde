"""Claims about tokenizers."""
