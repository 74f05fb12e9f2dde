"""How a position enters attention: rotations, additive biases, or not at all."""
