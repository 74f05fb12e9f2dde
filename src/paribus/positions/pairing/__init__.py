"""Which two coordinates of a head turn together."""
