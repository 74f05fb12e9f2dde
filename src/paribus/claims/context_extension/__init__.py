"""Claims about reading longer than trained, with checkpoints made elsewhere."""
