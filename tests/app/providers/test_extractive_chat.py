"""The extractive model: the passages' own sentences, chosen by the question's words."""

import pytest

from app.domain.conversation import ChatMessage
from app.providers.chat_model import make_chat_model
from app.providers.extractive_chat import NOTHING
from app.settings import Settings

PASSAGES = """<passage id="1" title="Ferry">
The ferry leaves every hour. The crossing takes 25 minutes.
- Bicycles are free.
- Cars pay 140 crowns.
</passage>
<passage id="2" title="Bakery">
The bakery opens at seven.
</passage>"""


async def answer(prompt: str, max_tokens: int = 100) -> tuple[str, int | None, str | None]:
    model = make_chat_model(Settings(chat_model="extractive"))
    deltas = [delta async for delta in model.stream([ChatMessage("user", prompt)], max_tokens=max_tokens)]
    await model.close()
    return "".join(delta.text for delta in deltas), deltas[-1].completion_tokens, deltas[-1].finish_reason


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("How long does the crossing take?", "The crossing takes 25 minutes."),
        ("What do cars pay?", "- Cars pay 140 crowns."),
        ("When does the bakery open?", "The bakery opens at seven."),
        ("Who is the mayor of Zanzibar?", NOTHING),
    ],
)
async def test_it_says_the_sentence_that_holds_the_questions_words(question: str, said: str) -> None:
    assert await answer(f"{PASSAGES}\n\nQuestion: {question}") == (said, len(said.split()), "stop")


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("Der Vertrag endet am 31. Januar, d. h. im Winter.", "Wann endet der Vertrag?"),
        ("The contract was signed by Dr. Brown on 4 May.", "Who signed the contract?"),
        ("It has 4 rooms, i.e. 4 Keys for the deposit.", "How many rooms for the deposit?"),
    ],
)
async def test_a_sentence_is_not_cut_at_an_abbreviation_or_ordinal(sentence: str, question: str) -> None:
    passage = f'<passage id="1" title="Lease">\nIt is Monday. {sentence} Nothing else.\n</passage>'
    assert (await answer(f"{passage}\n\nQuestion: {question}"))[0] == sentence


async def test_without_passages_it_says_nothing() -> None:
    assert (await answer("Question: Who?"))[0] == NOTHING


async def test_it_keeps_to_the_length_allowed() -> None:
    text, tokens, reason = await answer(f"{PASSAGES}\nQuestion: How long does the crossing take?", max_tokens=2)
    assert (text.strip(), tokens, reason) == ("The crossing", 2, "length")


async def test_a_follow_up_is_asked_along_with_the_question_before() -> None:
    said = "user: When does the ferry leave?\nassistant: Every hour."
    prompt = f"<conversation>\n{said}\n</conversation>\n\nQuestion: And back?"
    assert (await answer(prompt))[0] == "When does the ferry leave? And back?"
