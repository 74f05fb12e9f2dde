"""What training minimises: losses of scores, of output layers, reductions, measures of sparsity."""
