"""Several turns: what is searched, what the model is told, and when a question is asked back."""

from collections.abc import Sequence

import pytest

from app.bootstrap import make_prompts
from app.domain.conversation import ChatMessage
from app.domain.principal import Principal
from app.domain.run import RetrievalCompleted, RunCompleted, RunEvent, TextDelta
from app.providers.tokenizer import count_tokens
from app.services.answering import Answering, AnsweringOptions, Provenance, Question
from app.services.evidence import EvidenceGate
from app.services.understanding import ASK_FOR_ANYTHING
from tests.fixtures.replies import Replies
from tests.fixtures.server import Server

pytestmark = pytest.mark.usefixtures("corpus")
OPTIONS = AnsweringOptions(max_tokens=200, history_tokens=200, passages=3, withhold=False)
SAID = (
    ChatMessage("user", "When does the ferry to Holm Island leave?"),
    ChatMessage("assistant", "Every hour, from the old harbour."),
)


async def answer(
    server: Server,
    model: Replies,
    question: str,
    history: Sequence[ChatMessage] = (),
    options: AnsweringOptions = OPTIONS,
    least: float = 0,
) -> list[RunEvent]:
    services = server.services
    answering = Answering(
        services.retrieval, EvidenceGate(least, None), model, make_prompts(services.settings), count_tokens, options
    )
    return [event async for event in answering.answer(Principal(), Question(question), history, Provenance())]


async def test_the_answers_prompt_has_what_was_said_when_the_question_goes_on(server: Server) -> None:
    model = Replies("FOLLOWS: What does the ferry to Holm Island cost for cars?", "Cars pay.")
    await answer(server, model, "And for cars?", SAID)
    assert "Every hour, from the old harbour." in model.asked[1]


async def test_nothing_of_it_when_the_topic_is_another(server: Server) -> None:
    model = Replies("NEW: Who keeps the lighthouse?", "Nobody.")
    await answer(server, model, "Who keeps the lighthouse?", SAID)
    assert "old harbour" not in model.asked[1].replace("\n", " ").partition("Passages:")[0]
    assert "Question: Who keeps the lighthouse?" in model.asked[1]


async def test_a_long_conversation_reaches_the_prompt_as_a_summary_and_its_end(server: Server) -> None:
    model = Replies("The user wants to bring a horse.", "FOLLOWS: What does the ferry cost for a horse?", "Much.")
    long = (ChatMessage("user", "I have a horse. " * 60), ChatMessage("assistant", "I see. " * 60), *SAID)
    await answer(server, model, "And for it?", long)
    told = model.asked[2].partition("Passages:")[0]
    assert "summary of what was said before: The user wants to bring a horse." in told
    assert "When does the ferry to Holm Island leave?" in told
    assert "I have a horse. I have a horse." not in told


async def test_an_unclear_question_gets_a_question_and_no_footnotes(server: Server) -> None:
    model = Replies("UNCLEAR: Which ferry do you mean?")
    events = await answer(server, model, "And the other one?", SAID)
    assert events == [RetrievalCompleted(()), TextDelta("Which ferry do you mean?"), RunCompleted("clarify")]


async def test_a_first_question_that_names_nothing_is_asked_about(server: Server) -> None:
    events = await answer(server, Replies(), "Why?")
    assert events[1:] == [TextDelta(ASK_FOR_ANYTHING), RunCompleted("clarify")]


async def test_what_it_stands_for_is_asked_only_where_nothing_was_found(server: Server) -> None:
    refused = await answer(server, Replies(), "What does the ferry cost?", least=1.0)
    assert refused[-1] == RunCompleted("refused")
    asked = await answer(server, Replies(), "What does it cost?", least=1.0)
    assert asked[-2:] == [
        TextDelta("What do you mean by “it”? I found nothing that answers the question as it stands."),
        RunCompleted("clarify"),
    ]
    answered = await answer(server, Replies("A euro."), "What does it cost?")
    assert answered[-1] == RunCompleted("stop")
