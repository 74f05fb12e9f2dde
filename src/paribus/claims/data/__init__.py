"""Claims on synthetic tasks."""
