"""Where curves and metrics of a run can be sent to; the run folder stays the truth."""
