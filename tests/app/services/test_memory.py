"""What a prompt is told of a conversation that grows longer and longer."""

import pytest
from structlog.testing import capture_logs

from app.domain.conversation import ChatMessage
from app.domain.prompt import Prompt
from app.services.memory import SUMMARISED_AT_ONCE, Memory, Recalled
from tests.fixtures.replies import Replies

SUMMARY = Prompt("summary", 1, "0", "Take notes.", "<$summary>\n$history")


def words(text: str) -> int:
    return len(text.split())


def said(turns: int, first: int = 0) -> list[ChatMessage]:
    """Questions and answers of five words each, six with the speaker."""
    return [
        ChatMessage(role, f"{role[0]}{n} two three four five")  # type: ignore[arg-type]
        for n in range(first, first + turns)
        for role in ("user", "assistant")
    ]


def memory(model: Replies, budget: int = 60) -> Memory:
    return Memory(model, SUMMARY, words, budget_tokens=budget)


async def test_what_fits_is_told_as_it_is() -> None:
    model = Replies()
    recalled = await memory(model).recall(said(5))
    assert (recalled, model.asked) == (Recalled(tuple(said(5))), [])
    assert recalled.transcript.splitlines()[0] == "user: u0 two three four five"


async def test_the_beginning_of_a_longer_one_is_summarised() -> None:
    model = Replies("  They spoke of\n0 and 1.")
    recalled = await memory(model).recall(said(7))  # ten messages fit, and four are dropped at a time
    assert recalled == Recalled(tuple(said(5, 2)), "They spoke of 0 and 1.")
    assert model.asked == ["<>\n" + "\n".join(f"{m.role}: {m.content}" for m in said(2))]
    assert recalled.transcript.splitlines()[:2] == [
        "summary of what was said before: They spoke of 0 and 1.",
        "user: u2 two three four five",
    ]


async def test_a_summary_is_made_once_and_goes_on_from_the_one_before() -> None:
    model = Replies("First.", "Second.")
    kept = memory(model)
    assert [(await kept.recall(said(turns))).summary for turns in (6, 7, 7, 8, 9)] == [
        "First.",
        "First.",
        "First.",
        "Second.",
        "Second.",
    ]
    assert model.asked[1] == "<First.>\n" + "\n".join(f"{m.role}: {m.content}" for m in said(2, 2))


async def test_conversations_do_not_share_summaries() -> None:
    model = Replies("Mine.", "Yours.")
    kept = memory(model)
    yours = [ChatMessage("user", "else two three four five"), *said(7)[1:]]
    assert [(await kept.recall(each)).summary for each in (said(7), yours)] == ["Mine.", "Yours."]


async def test_a_very_long_one_is_summarised_from_its_beginning_and_its_end() -> None:
    model = Replies("Long.")
    await memory(model).recall(said(200))
    lines = model.asked[0].splitlines()[1:]
    assert len(lines) == SUMMARISED_AT_ONCE
    assert lines[0].startswith("user: u0 ")
    assert lines[-1].startswith(
        "assistant: a195 "
    )  # of 400 messages the last ten fit; 392 is the next multiple of four


async def test_the_last_question_and_answer_are_told_however_long_they_are() -> None:
    recalled = await memory(Replies("Short."), budget=1).recall(said(3))
    assert recalled == Recalled(tuple(said(1, 2)), "Short.")
    alone = [ChatMessage("user", "word " * 100)]
    assert await memory(Replies(), budget=1).recall(alone) == Recalled(tuple(alone))


async def test_without_its_model_the_beginning_is_left_out_and_the_log_says_so() -> None:
    model = Replies(None, "Now.")
    kept = memory(model)
    with capture_logs() as logged:
        assert await kept.recall(said(7)) == Recalled(tuple(said(5, 2)))
    assert [(line["event"], line["reason"], line["messages"]) for line in logged] == [
        ("history.not_summarised", "It is away.", 4)
    ]
    assert (await kept.recall(said(7))).summary == "Now."


async def test_a_small_model_is_not_asked() -> None:
    model = Replies(small=True)
    assert await memory(model).recall(said(7)) == Recalled(tuple(said(5, 2)))


@pytest.mark.parametrize(
    ("answer", "asked"), [("Which one?", True), ("哪一个？ ", True), ("Both. Why? Because.", False)]
)
def test_whether_the_last_answer_was_a_question(answer: str, asked: bool) -> None:
    recalled = Recalled((ChatMessage("user", "How?"), ChatMessage("assistant", answer)))
    assert (recalled.asked_back, recalled.last_question) == (asked, "How?")
    assert (Recalled().asked_back, Recalled().last_question) == (False, "")
