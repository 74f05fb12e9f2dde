"""From a model and batches to trained weights: loop, optimizers, schedules, budget, exact resume."""
