"""Feature maps of linear attention: similarity of a query and a key as a product of features."""
