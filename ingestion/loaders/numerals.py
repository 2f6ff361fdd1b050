"""Numerals: the numbers of lists and headings as office programs write them."""

_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)


def whole(text: str, otherwise: int) -> int:
    """The whole number that a file writes; `otherwise` for what is none, or too long for one."""
    return int(text) if text.isdecimal() and len(text) < 10 else otherwise


def numeral(number: int, form: str) -> str:
    """A number in letters (a, A; after z comes aa) or Roman (i, I); in digits by other forms, or where none is."""
    match form:
        case "a" | "A":
            text = _letters(number)
        case "i" | "I":
            text = _roman(number)
        case _:
            return str(number)
    return text.upper() if form.isupper() else text


def _letters(number: int) -> str:
    return chr(ord("a") + (number - 1) % 26) * min(1 + (number - 1) // 26, 9) if number > 0 else str(number)


def _roman(number: int) -> str:
    if not 0 < number < 4000:
        return str(number)
    text = ""
    for worth, said in _ROMAN:
        text += said * (number // worth)
        number %= worth
    return text
