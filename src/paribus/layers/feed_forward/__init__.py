"""Per-token networks between the mixers."""
