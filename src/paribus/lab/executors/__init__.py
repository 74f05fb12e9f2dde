"""Where cells are computed."""
