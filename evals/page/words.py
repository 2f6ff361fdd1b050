"""Words: numbers as the page writes them."""


def number(value: float) -> str:
    """Three digits that count, or six decimals for what is next to nothing; no exponent, no trailing zeros."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    decimals = 1 if abs(value) >= 10 else 3 if abs(value) >= 0.001 else 6
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(value: float) -> str:
    """The same with its sign, a true minus."""
    text = number(abs(value))
    return text if text == "0" else ("−" if value < 0 else "+") + text
