"""Claims about position codes and length."""
