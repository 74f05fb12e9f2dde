"""Softmax attention and its relatives: scales, masks, backends, caches and the mixers built from them."""
