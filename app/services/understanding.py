"""Understanding: what a question asks, given what was said before it."""

import re
from dataclasses import dataclass, replace

from app.domain.ports import ChatModel
from app.domain.prompt import Prompt
from app.services.completion import complete
from app.services.follow_up import dangling, goes_on, names_of
from app.services.memory import Recalled

CONDENSED_CHARS = 500
CONDENSE_TOKENS = 100
_LABELLED = re.compile(r"\W*(FOLLOWS|NEW|UNCLEAR)\b\W*?:\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Understood:
    """`query` can be searched for. `goes_on`: it belongs to what was said before, which the answer is told.

    `ask_back`: a question to the person, who must say more before anything can be searched for.
    """

    query: str
    goes_on: bool = False
    ask_back: str | None = None


class Understanding:
    """Reads questions; a model that may use its own words is asked about those that have a history."""

    def __init__(self, model: ChatModel, prompt: Prompt) -> None:
        self._model = model
        self._prompt = prompt

    async def __call__(self, question: str, said: Recalled) -> Understood:
        """Raises ProviderError."""
        before = said.last_question
        if not before:
            return Understood(question, ask_back=None if names_of(question) else ASK_FOR_ANYTHING)
        # an answer to a question back is short, whatever it says
        follows = said.asked_back or goes_on(question, before)
        by_words = Understood(f"{before}\n{question}" if follows else question, follows)
        if self._model.profile.small:
            return by_words
        messages = self._prompt.messages(history=said.transcript, question=question)
        reply = await complete(self._model, messages, max_tokens=CONDENSE_TOKENS)
        return _read(reply, question, by_words, may_ask=not said.asked_back)


def _read(reply: str, question: str, by_words: Understood, *, may_ask: bool) -> Understood:
    """What the model made of the question, where that holds; else what its words alone tell.

    A rewritten question must still name all that the question names and something more: small models repeat the
    question before, or this one.
    """
    labelled = _LABELLED.fullmatch(reply)
    label, text = (labelled[1].upper(), labelled[2]) if labelled else ("FOLLOWS", reply)
    if label == "NEW":
        return Understood(question)
    if not 0 < len(text) <= CONDENSED_CHARS:
        return by_words
    if label == "UNCLEAR":
        asks = may_ask and text.endswith(("?", "？"))
        return replace(by_words, goes_on=True, ask_back=text) if asks else by_words
    return Understood(text, goes_on=True) if names_of(question) < names_of(text) else by_words


ASK_FOR_ANYTHING = "What is your question about? It names nothing that I could look for in the documents."


def ask_what_is_meant(question: str, said: Recalled) -> str | None:
    """A question back about a word that stands for something nobody named; None when there is none, or it was asked."""
    word = dangling(question)
    if word is None or said.last_question or said.asked_back:
        return None
    return f"What do you mean by “{word.lower()}”? I found nothing that answers the question as it stands."
