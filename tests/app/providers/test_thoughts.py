"""Thoughts of reasoning models: left out of the answer, however they are cut into pieces."""

import pytest

from app.providers.thoughts import WithoutThoughts


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("At nine.", "At nine."),
        (" At nine.", " At nine."),
        ("<think>\nThe boat <b>leaves</b>…\n</think>\n\nAt nine.", "At nine."),
        ("\n<think></think>At nine.", "At nine."),
        ("<thinking>One.</thinking>\n<think>Two.</think> At nine.", "At nine."),
        ("[THINK]When?[/THINK]At [1] nine.", "At [1] nine."),
        ("<think>It never comes to an answer", ""),
        ("<think>It nearly ends</thin", ""),
        ("At nine. <think> is a tag.</think>", "At nine. <think> is a tag.</think>"),
        ("<thin ice>", "<thin ice>"),
        ("<thi", "<thi"),
        ("[1] At nine.", "[1] At nine."),
        (" \n", " \n"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_only_the_answer_is_left(text: str, answer: str, size: int) -> None:
    filtered = WithoutThoughts()
    pieces = [filtered.feed(text[start : start + size]) for start in range(0, len(text), size)]
    assert "".join(pieces) + filtered.flush() == answer


def test_an_answer_without_thoughts_does_not_wait() -> None:
    filtered = WithoutThoughts()
    assert [filtered.feed(piece) for piece in ("<", "a>", " <think>")] == ["", "<a>", " <think>"]
