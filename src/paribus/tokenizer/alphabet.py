"""Bytes spelled as letters, as GPT-2 does, for engines that know only text."""


def byte_letters() -> list[str]:
    """The letter of each byte in GPT-2's byte-level alphabet: printable Latin-1 as it is, the rest from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


LETTERS = dict(enumerate(byte_letters()))


def spell(data: bytes) -> str:
    """One letter for each byte."""
    return data.decode("latin-1").translate(LETTERS)
