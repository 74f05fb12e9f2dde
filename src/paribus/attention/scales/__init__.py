"""What multiplies the scores, and what is normalised before them."""
