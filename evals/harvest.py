"""Harvest: rated answers as questions of a suite, for a person to review before they count."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from app.domain.feedback import RatedAnswer

_PERSONAL = (
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "[mail]"),
    (re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?\b"), "[account]"),
    (re.compile(r"(?<![\w.])\+?\(?\d[\d ()/-]{6,}\d(?!\w)"), "[number]"),
    (re.compile(r"\b(?:sk|pk|key|token)[-_][\w-]{12,}\b"), "[key]"),
    (re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])\w{24,}\b"), "[key]"),
)


def anonymised(text: str) -> str:
    """The text without mail addresses, telephone, account and other long numbers, and keys; names stay."""
    for pattern, shown in _PERSONAL:
        text = pattern.sub(shown, text)
    return text


def question_of(rated: RatedAnswer) -> dict[str, Any]:
    """A line of a suite `qa:`, marked as not reviewed.

    A good answer is taken for a gold one, with the documents that it cites; of a bad one only the question is kept, and
    what was said of it.
    """
    *history, question = rated.before
    line: dict[str, Any] = {
        "_id": f"feedback-{rated.feedback.message_id}",
        "question": anonymised(question.text),
        "reviewed": False,
        "note": anonymised(f"{rated.feedback.rating}: {rated.feedback.comment or ''}".rstrip(": ")),
    }
    if history:
        line["history"] = [{"role": each.role, "content": anonymised(each.text)} for each in history if each.text]
    if rated.feedback.rating == "up" and rated.answer.finish_reason == "refused":
        line["answerable"] = False
    elif rated.feedback.rating == "up":
        line["answers"] = [anonymised(rated.answer.text)]
        line["documents"] = _documents(rated)
    return line


def _documents(rated: RatedAnswer) -> Sequence[str]:
    """The cited documents by the ends of their URIs."""
    uris = {passage.document_id: passage.uri for passage in rated.answer.passages}
    cited = dict.fromkeys(c.document_id for c in rated.answer.citations if c.index)
    return [PurePosixPath(uris[id_]).name for id_ in cited if id_ in uris]
