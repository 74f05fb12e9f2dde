"""Claims about scores, scales and masks."""
