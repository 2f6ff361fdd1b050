"""Own words: what a model may say, where sentences without support are withheld, by its profile and by the setting."""

from dataclasses import replace

import pytest

from app.domain.errors import ProviderError, ProviderRejected, ProviderUnavailable
from app.domain.run import RunCompleted, TextDelta, Usage
from app.services.attribution import keeps_to
from tests.app.services.test_several_turns import OPTIONS, answer
from tests.fixtures.replies import Replies
from tests.fixtures.server import Server

PARAPHRASE = "For the crossing of the ferry to Holm Island one needs 25 minutes in all."


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize(
    ("profile", "setting", "shown"),
    [(True, None, True), (True, False, False), (False, None, False), (False, True, True)],
)
async def test_a_paraphrase_is_shown_where_own_words_are_allowed(
    server: Server, profile: bool, setting: bool | None, shown: bool
) -> None:
    model = Replies(PARAPHRASE)
    model.profile = replace(model.profile, own_words=profile)
    options = replace(OPTIONS, withhold=True, own_words=setting)
    events = await answer(server, model, "How long does the ferry to Holm Island take?", options=options)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert (text == PARAPHRASE) is shown
    assert shown or text.startswith("In the words of the documents:")


@pytest.mark.usefixtures("corpus")
async def test_a_model_that_repeats_itself_is_stopped(server: Server) -> None:
    sentence = "The ferry to Holm Island takes 25 minutes. "
    options = replace(OPTIONS, withhold=True)
    model = Replies(sentence * 16)
    events = await answer(server, model, "How long does the ferry to Holm Island take?", options=options)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == sentence.strip()
    usage, end = events[-2:]
    assert isinstance(usage, Usage)
    assert usage.prompt_tokens > 20 < usage.completion_tokens
    assert end == RunCompleted("stop")


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize(
    ("finish_reason", "error", "says"),
    [("stop", ProviderUnavailable, "gave an empty answer"), ("length", ProviderRejected, "raise FOOTNOTE_CHAT_MAX")],
)
async def test_an_empty_answer_is_none(
    server: Server, finish_reason: str, error: type[ProviderError], says: str
) -> None:
    question = "How long does the ferry to Holm Island take?"
    with pytest.raises(error, match=says):
        await answer(server, Replies(" \n", finish_reason=finish_reason), question, options=OPTIONS)
    withheld = replace(OPTIONS, withhold=True)
    events = await answer(server, Replies(" \n", finish_reason=finish_reason), question, options=withheld)
    assert events[-1] == RunCompleted("stop"), "the documents' own words took its place"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("The crossing takes 25 minutes.", True),
        ("The crossing takes 35 minutes.", False),
        ("Yes, the crossing takes 25 minutes.", False),
        ("No. The crossing takes 25 minutes.", False),
        ("No crossing takes 25 minutes.", True),  # one word beside the passage's: attribution sees the negation
    ],
)
def test_a_yes_or_no_is_a_models_own_judgement(text: str, kept: bool) -> None:
    assert keeps_to("On most days the crossing takes 25 minutes.", text) is kept


def test_a_passage_may_say_yes_itself() -> None:
    assert keeps_to("Yes, the ferry carries bicycles.", "Yes, the ferry carries bicycles.")
