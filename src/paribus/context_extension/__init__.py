"""Let a model read longer than it was trained, without training: choose a method, see what it does, use it, save it."""
