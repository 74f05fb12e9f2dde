"""Measures of sparsity as differentiable functions of tensors, to be minimised or maximised."""
