"""Chat reranker: how likely a language model on this machine says Yes when asked whether a passage answers."""

from collections.abc import Sequence

from app.domain.errors import ProviderRejected
from app.domain.prompt import Prompt
from app.providers.local_chat import LocalChatModel
from app.providers.tokenizer import encoding

_CANDIDATE_TOKENS = 200  # among so many first tokens Yes and No are found in practice, if only far down
_QUESTION_TOKENS = 250
_PASSAGE_TOKENS = 500


class ChatReranker:
    """Scores each passage with P(yes) / (P(yes) + P(no)) of the answer's first token, one passage after the other.

    As Nogueira et al. 2020 ("Document Ranking with a Pretrained Sequence-to-Sequence Model") do with the tokens true
    and false. Each passage costs the reading of a prompt: seconds with a large model.
    """

    def __init__(self, model: LocalChatModel, prompt: Prompt) -> None:
        """The reranker owns `model` and closes it."""
        self._model = model
        self._prompt = prompt

    @property
    def name(self) -> str:
        """`chat:` and the model's own name."""
        return f"chat:{self._model.profile.name}"

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """One relevance in 0..1 for each text; see `Reranker.rerank`. Long texts are cut."""
        question = _cut(query, _QUESTION_TOKENS)
        return [await self._score(question, _cut(text, _PASSAGE_TOKENS)) for text in texts]

    async def close(self) -> None:
        """End the model's process."""
        await self._model.close()

    async def _score(self, question: str, passage: str) -> float:
        messages = self._prompt.messages(question=question, passage=passage)
        tokens = await self._model.first_tokens(messages, _CANDIDATE_TOKENS)
        yes, no = (sum(p for token, p in tokens.items() if token.strip().lower() == word) for word in ("yes", "no"))
        if not yes + no:
            raise ProviderRejected(
                f"{self._model.profile.name} answers neither Yes nor No to {self._prompt.reference}; "
                "FOOTNOTE_RERANKER=chat needs a chat model that follows instructions."
            )
        return yes / (yes + no)


def _cut(text: str, tokens: int) -> str:
    """The text's first tokens (cl100k_base; other tokenizers differ, and the model's context has room for that)."""
    if len(text.encode()) <= tokens:  # a token is a byte or more
        return text
    return encoding().decode(encoding().encode_ordinary(text)[:tokens])
