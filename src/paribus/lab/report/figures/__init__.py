"""The pictures of a report as inline SVG, one a file: text stays text, colours follow the page."""
