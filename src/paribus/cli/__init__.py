"""The command line: thin, and quick to answer, since nothing heavy is imported before a command needs it."""
