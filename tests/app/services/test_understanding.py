"""What a question asks, given what was said before it."""

import pytest

from app.domain.conversation import ChatMessage
from app.domain.errors import ProviderUnavailable
from app.domain.prompt import Prompt
from app.services.memory import Recalled
from app.services.understanding import ASK_FOR_ANYTHING, Understanding, Understood, ask_what_is_meant
from tests.fixtures.replies import Replies

CONDENSE = Prompt("condense", 2, "0", "Rewrite.", "$history\n> $question")
BEFORE = "When does the ferry leave?"
SAID = Recalled((ChatMessage("user", BEFORE), ChatMessage("assistant", "At nine.")))
ASKED_BACK = Recalled((ChatMessage("user", BEFORE), ChatMessage("assistant", "Which ferry?")))
MORE = "And on Sundays?"
OTHER = "How many moons does Jupiter have?"


async def understood(question: str, reply: str | None, said: Recalled = SAID) -> Understood:
    return await Understanding(Replies(reply), CONDENSE)(question, said)


async def test_a_first_question_is_taken_as_it_is_and_no_model_is_asked() -> None:
    model = Replies()
    assert await Understanding(model, CONDENSE)("When does it leave?", Recalled()) == Understood("When does it leave?")
    assert model.asked == []


async def test_one_that_names_nothing_is_asked_about() -> None:
    model = Replies()
    assert (await Understanding(model, CONDENSE)("What about that one?", Recalled())).ask_back == ASK_FOR_ANYTHING


async def test_the_model_sees_what_was_said_and_rewrites() -> None:
    model = Replies("FOLLOWS: When does the ferry leave on Sundays?")
    assert await Understanding(model, CONDENSE)(MORE, SAID) == Understood(
        "When does the ferry leave on Sundays?", goes_on=True
    )
    assert model.asked == [f"user: {BEFORE}\nassistant: At nine.\n> {MORE}"]


@pytest.mark.parametrize(
    ("question", "reply", "query", "goes_on"),
    [
        (OTHER, f"NEW: {OTHER}", OTHER, False),
        (MORE, "`new`: whatever it says then", MORE, False),
        (MORE, "When does the ferry leave on Sundays?", "When does the ferry leave on Sundays?", True),
        # it lost what the question names, adds nothing, says nothing, or says too much: the words decide
        (MORE, f"FOLLOWS: {BEFORE}", f"{BEFORE}\n{MORE}", True),
        (MORE, f"FOLLOWS: {MORE}", f"{BEFORE}\n{MORE}", True),
        (OTHER, f"FOLLOWS: {OTHER}", OTHER, False),
        (MORE, "", f"{BEFORE}\n{MORE}", True),
        (MORE, "FOLLOWS: Sundays " + "and so on " * 60, f"{BEFORE}\n{MORE}", True),
        (OTHER, "UNCLEAR: I cannot say.", OTHER, False),
    ],
)
async def test_replies(question: str, reply: str, query: str, goes_on: bool) -> None:
    assert await understood(question, reply) == Understood(query, goes_on)


async def test_an_unclear_question_is_asked_about_once() -> None:
    reply = "UNCLEAR: Which of the two ferries do you mean?"
    first = await understood("And the other one?", reply)
    assert (first.ask_back, first.goes_on) == ("Which of the two ferries do you mean?", True)
    second = await understood("The other", reply, ASKED_BACK)
    assert second == Understood(f"{BEFORE}\nThe other", goes_on=True)


async def test_a_provider_that_fails_is_not_hidden() -> None:
    with pytest.raises(ProviderUnavailable):
        await understood(MORE, None)


@pytest.mark.parametrize(
    ("question", "said", "query", "goes_on"),
    [
        (MORE, SAID, f"{BEFORE}\n{MORE}", True),
        (OTHER, SAID, OTHER, False),
        ("The white steamer to Kiel", ASKED_BACK, f"{BEFORE}\nThe white steamer to Kiel", True),
    ],
)
async def test_a_small_model_is_not_asked(question: str, said: Recalled, query: str, goes_on: bool) -> None:
    model = Replies(small=True)
    assert await Understanding(model, CONDENSE)(question, said) == Understood(query, goes_on)
    assert model.asked == []


def test_what_is_meant_is_asked_at_the_beginning_alone() -> None:
    assert ask_what_is_meant("How does It work?", Recalled()) == (
        "What do you mean by “it”? I found nothing that answers the question as it stands."
    )
    assert ask_what_is_meant("How does it work?", SAID) is None
    assert ask_what_is_meant("How does the lock work?", Recalled()) is None
