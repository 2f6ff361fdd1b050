"""Number format: a number as a sheet shows it, by the format code of its cell (ECMA-376, part 1, 18.8.31)."""

import re
from datetime import timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import NamedTuple

_CODE = re.compile(
    r"(?P<before>(?:[^#0?.;@\w\[\"\\*]|\[[^\]]*\]|\"[^\"]*\"|[\\_*].)*)"
    r"(?P<whole>#,##0|#|0+)(?:\.(?P<decimals>0+|#+))?"
    r"(?P<after>(?:[^#0?.,;@\w\[\"\\*]|\[[^\]]*\]|\"[^\"]*\"|[\\_*].)*)(?:;.*)?",
    re.DOTALL,
)
_QUOTED = re.compile(r'"[^"]*"|\\.|[_*].|\[[^\]]*\]', re.DOTALL)
_EXACT = Context(prec=400)  # digits; a number of a sheet has no more
_LITERAL = re.compile(r'\[\$([^\]-]*)[^\]]*\]|\[(?:Color *\d+|[A-Za-z]+)\]|"([^"]*)"|\\(.)|[_*].|(\[)|(.)', re.DOTALL)


class _Format(NamedTuple):
    before: str
    after: str
    decimals: int
    digits: int
    percent: bool
    grouped: bool
    optional: bool
    """Whether zeros at the end of the decimals are left out."""


def shown(value: float, code: str) -> str | None:
    """A number with its decimals, separators, percent sign and currency; None by a format that is not that simple.

    Halves are rounded away from zero, and of a number its first 15 digits count, as in a sheet.
    """
    form = _parsed(code)
    if form is None:
        return None
    number = Decimal(f"{abs(value):.15g}") * (100 if form.percent else 1)
    number = number.quantize(Decimal(1).scaleb(-form.decimals), ROUND_HALF_UP, _EXACT)
    text = f"{number:{',' if form.grouped else ''}f}"
    if form.optional:
        text = text.rstrip("0").rstrip(".")
    whole, point, decimals = text.partition(".")
    text = f"{form.before}{whole.zfill(form.digits)}{point}{decimals}{form.after}"
    return f"-{text}" if value < 0 and number else text


def duration(value: timedelta) -> str:
    """Hours, minutes and, if there are any, seconds: `30:00`."""
    seconds = round(abs(value.total_seconds()))
    text = f"{seconds // 3600}:{seconds // 60 % 60:02}" + (f":{seconds % 60:02}" if seconds % 60 else "")
    return f"-{text}" if value < timedelta() else text


@lru_cache(maxsize=1024)
def _parsed(code: str) -> _Format | None:
    match = _CODE.fullmatch(code)
    if match is None:
        return None
    before, after = _literal(match["before"]), _literal(match["after"])
    if before is None or after is None:
        return None
    whole, decimals = match["whole"], match["decimals"] or ""
    digits = len(whole) if whole[0] == "0" else 0
    percent = "%" in _QUOTED.sub("", match["before"] + match["after"])
    return _Format(before.lstrip(), after.rstrip(), len(decimals), digits, percent, "," in whole, "#" in decimals)


def _literal(code: str) -> str | None:
    """What stands beside the digits, without colours and fillers; None when it holds a condition."""
    found = list(_LITERAL.finditer(code))
    if any(one[4] for one in found):
        return None
    return "".join(one[1] or one[2] or one[3] or one[5] or "" for one in found)
