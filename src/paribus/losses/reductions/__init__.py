"""How the losses of tokens become one number."""
