"""What changes the logits of the next token before it is chosen, one rule a file."""
