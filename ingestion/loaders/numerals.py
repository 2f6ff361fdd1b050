"""Numerals: the numbers of lists and headings as office programs write them."""

_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)


def letters(number: int) -> str:
    """a to z, then aa, bb and so on."""
    return chr(ord("a") + (number - 1) % 26) * min(1 + (number - 1) // 26, 9) if number > 0 else str(number)


def roman(number: int) -> str:
    """i to mmmcmxcix; other numbers in digits."""
    if not 0 < number < 4000:
        return str(number)
    text = ""
    for worth, said in _ROMAN:
        text += said * (number // worth)
        number %= worth
    return text
