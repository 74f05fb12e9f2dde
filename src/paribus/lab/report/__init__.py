"""The report of a run: one offline HTML file, and the same in Markdown."""
