"""Declared: what a file says of itself, author, date and language, as metadata to filter by."""

import re

from ingestion.loaders.characters import clean

_DAY = re.compile(r"(?:D:|<|\[)?(\d{4})(-?)([01]\d)\2([0-3]\d)")  # also as PDF and Org write it
_LANGUAGE = re.compile(r"[A-Za-z]{2}(?:[-_][A-Za-z\d]+)*")


def declared(**fields: object) -> dict[str, object]:
    """Metadata without what has no value: a `date` as 2026-03-01 where it begins with a day, strings on one line.

    A `language` that is no code of two letters, with a region or without, is left out: it decides how the text is
    searched, and what is not known is found out from the text itself.
    """
    said = {name: _one_line(value) if isinstance(value, str) else value for name, value in fields.items()}
    date, language = said.get("date"), said.get("language")
    if isinstance(date, str) and (day := _DAY.match(date)):
        said["date"] = f"{day[1]}-{day[3]}-{day[4]}"
    if isinstance(language, str) and not _LANGUAGE.fullmatch(language):
        del said["language"]
    return {name: value for name, value in said.items() if value}


def _one_line(value: str) -> str:
    return " ".join(clean(value).split())
