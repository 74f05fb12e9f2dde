"""Numerical pieces shared by the floors above: root finding, thresholds, candidates."""
