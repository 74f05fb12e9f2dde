"""Element-wise non-linearities."""
