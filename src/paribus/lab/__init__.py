"""Arms, claims, plans, cells, verdicts and reports."""
