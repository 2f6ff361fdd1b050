"""Examples: the worst answers, each with its sentences, verdicts and passages, the baseline's beside it."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evals.page.words import number

Kept = Mapping[str, Any]
"""What a result keeps of one question."""


def example(question: str, kept: Kept, base: Kept | None, metric: str) -> str:
    """One question, folded; the first line says what happened to the metric."""
    value = number(kept[metric])
    moved = value if base is None or base.get(metric) is None else f"{number(base[metric])} → {value}"
    gold = "".join(f"<li>{escape(each)}</li>" for each in kept.get("gold", ()))
    sides = [("Head", kept)] if base is None else [("Baseline", base), ("Head", kept)]
    shown = "".join(_side(name, each, alone=len(sides) == 1) for name, each in sides)
    return (
        f"<details><summary><span class='question'>{escape(str(kept.get('question', question)))}</span>"
        f"<span class='moved'>{escape(metric)} {moved}</span></summary>"
        f"<p class='id'>{escape(question)}{'' if kept.get('answerable', True) else ' · not answerable'}</p>"
        + (f"<h4>Gold answer</h4><ul class='gold'>{gold}</ul>" if gold else "")
        + f"<div class='sides'>{shown}</div></details>"
    )


def _side(name: str, kept: Kept, *, alone: bool) -> str:
    title = "" if alone else f"<h4>{name}</h4>"
    if "answer" in kept:
        return f"<section>{title}{_answer(kept)}{_passages(kept.get('passages', ()))}</section>"
    hits = "".join(f"<li>{escape(str(hit))}</li>" for hit in kept.get("hits", ()))
    return f"<section>{title}<p>Found, best first:</p><ol class='hits'>{hits}</ol></section>"


def _answer(kept: Kept) -> str:
    if kept.get("failure"):
        return f"<p class='failure'>Failed: {escape(kept['failure'])}</p>"
    if kept.get("refused"):
        return f"<p><span class='tag refused'>refused</span></p><p class='answer'>{escape(kept['answer'])}</p>"
    judged: dict[str, list[Kept]] = {}
    for sentence in kept.get("sentences", ()):
        judged.setdefault(sentence["text"], []).append(sentence)
    return f"<p class='answer'>{escape(kept['answer'])}</p>" + "".join(map(_sentence, judged.items()))


def _sentence(judged: tuple[str, Sequence[Kept]]) -> str:
    text, citations = judged
    verdict = str(citations[0]["verdict"])
    quotes = "".join(f"<blockquote>{escape(each['quote'])}</blockquote>" for each in citations if each["quote"])
    return (
        f"<div class='sentence {escape(verdict)}'><p><span class='tag {escape(verdict)}'>{escape(verdict)} "
        f"{number(citations[0]['score'])}</span> {escape(text)}</p>{quotes}</div>"
    )


def _passages(passages: Sequence[Kept]) -> str:
    if not passages:
        return ""
    shown = "".join(
        f"<li><strong>{escape(each['title'] or each['uri'])}</strong><p>{escape(each['text'])}</p></li>"
        for each in passages
    )
    return f"<details class='passages'><summary>{len(passages)} passages</summary><ol>{shown}</ol></details>"
