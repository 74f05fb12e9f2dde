"""Text tokenizers, bytes in and numbers out: BytePiece (native core and plain-Python twin) and the bytes themselves.

Imports no torch.
"""
