"""What a trained model is asked: loss and accuracy by length on the same last tokens, task accuracy."""
