"""Claims about how loss falls with data, steps and size."""
