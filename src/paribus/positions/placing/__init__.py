"""Where the tokens of text and images stand, two coordinates each."""
