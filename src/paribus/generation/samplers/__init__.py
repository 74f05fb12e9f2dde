"""How the next token is chosen from its logits."""
