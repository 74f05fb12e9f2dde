"""Claims about normalizers, selections and the entropy of attention."""
