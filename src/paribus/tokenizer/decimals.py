"""Doubles as decimals that a quick reader of JSON takes for the same doubles.

Rust's serde_json, which Hugging Face's engine reads its files with, does not round as IEEE asks: it reads the digits as
one integer, rounds that to a double, and divides by a power of ten. Of the shortest decimals about one in four comes
back with another last bit, and then equal sums are equal no more.
"""

from fractions import Fraction

DIGITS = range(15, 20)  # behind the point; the integer of all digits must fit 64 bits
FAR = 4096  # integers tried on each side: more than a double's neighbours are away


def quick(text: str) -> float:
    """What serde_json (without its feature float_roundtrip) reads, for decimals without an exponent.

    >>> quick("-6.0115741548537756") == -6.0115741548537756
    False
    """
    whole, _, behind = text.lstrip("-").partition(".")
    value = float(int(whole + behind)) / 10.0 ** len(behind)
    return -value if text.startswith("-") else value


def decimal(value: float) -> str:
    """A decimal that quick and exact readers read as this double; where there is none, about once in thousands, the
    shortest one, which the quick reader may miss by the last bit.

    >>> quick(decimal(-6.0115741548537756)) == float(decimal(-6.0115741548537756)) == -6.0115741548537756
    True
    """
    short = repr(float(value))
    if "e" in short or "n" in short or quick(short) == value:
        return short
    sign = "-" if value < 0 else ""
    size = abs(Fraction(value))
    for digits in DIGITS:
        middle = round(size * 10**digits)
        for k in range(FAR):
            near = [n for n in {middle + k, middle - k} if float(Fraction(n, 10**digits)) == abs(value)]
            if not near:
                break
            for n in near:
                if n < 1 << 64 and float(n) / 10.0**digits == abs(value):
                    text = str(n).zfill(digits + 1)
                    return f"{sign}{text[:-digits]}.{text[-digits:]}"
    return short
