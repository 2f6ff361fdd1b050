"""Extractive: answers in the passages' own sentences, without a language model."""

import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence

from app.domain.conversation import ChatMessage
from app.domain.ports import ChatDelta, ChatModelProfile
from app.domain.sentences import split

SENTENCES = 2
ALSO = 0.7  # of the best sentence's worth, to be said beside it
NOTHING = "The passages do not say."
_PASSAGE = re.compile(r"<passage\b[^>]*>\n?(.*?)</passage>", re.DOTALL)
_CONVERSATION = re.compile(r"<conversation>\n(.*?)\n</conversation>", re.DOTALL)
_STOP = frozenset(
    re.findall(
        r"\w+", "the and for are was were with that this from what when where which who how does did has have can"
    )
)
_USER = re.compile(r"^user: (.*)$", re.MULTILINE)


class ExtractiveChatModel:
    """Says the sentences that hold most of the question's words; the same for the same prompt, within milliseconds.

    A word's weight is its inverse sentence frequency, log(N/n) (Spärck Jones 1972). With it an evaluation measures
    retrieval, chunks and prompts without the chance of a language model.
    """

    def __init__(self, context_tokens: int = 16_384) -> None:
        self._profile = ChatModelProfile("extractive", context_tokens)

    @property
    def profile(self) -> ChatModelProfile:
        """Of a model whose words are the passages'."""
        return self._profile

    async def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int) -> AsyncGenerator[ChatDelta, None]:
        """Stream one answer; see `ChatModel.stream`. A token is a word."""
        prompt = messages[-1].content
        words = re.findall(r"\S+\s*", _answer(prompt))
        for word in words[:max_tokens]:
            yield ChatDelta(word)
        read = sum(len(message.content.split()) for message in messages)
        reason = "length" if len(words) > max_tokens else "stop"
        yield ChatDelta("", read, min(len(words), max_tokens), reason)

    async def close(self) -> None:
        """Nothing is held."""


def _answer(prompt: str) -> str:
    question = prompt.rpartition("Question:")[2].strip()
    if (conversation := _CONVERSATION.search(prompt)) is not None:  # to be rewritten, not answered
        return " ".join([*_USER.findall(conversation[1])[-1:], question])
    sentences = [sentence for text in _PASSAGE.findall(prompt) for sentence in _sentences(text)]
    words = [_stems(sentence) for sentence in sentences]
    frequency = Counter(word for each in words for word in each)
    asked = _stems(question)
    worth = [sum(math.log(len(words) / frequency[word]) for word in each & asked) for each in words]
    best = sorted(range(len(words)), key=lambda i: -worth[i])[:SENTENCES]
    said = [sentences[i] for i in best if worth[i] > 0 and worth[i] >= ALSO * worth[best[0]]]
    return "\n\n".join(said) or NOTHING


def _sentences(text: str) -> list[str]:
    """The sentences of a passage, list items with their markers."""
    found, end = [], 0
    for sentence in split(text):
        marker = text[end : sentence.start].rpartition("\n")[2].lstrip()
        found.append(marker + sentence.text)
        end = sentence.end
    return found


def _stems(text: str) -> frozenset[str]:
    """Lower-case words without their last letters, so that most inflections are alike; commonplace ones left out."""
    words = frozenset(re.findall(r"\w{3,}", text.lower())) - _STOP
    return frozenset(word[: max(4, len(word) - 2)] for word in words)
