"""The parts of a report's page, one a file, each from a record to HTML."""
