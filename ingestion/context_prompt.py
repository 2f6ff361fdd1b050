"""Context prompt: what the language model is shown of a chunk and its document, and what is taken from its reply."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from app.domain.conversation import ChatMessage
from app.domain.document import Chunk
from app.domain.errors import ConfigurationError
from app.domain.ports import ChatModelProfile
from app.domain.prompt import Prompt
from app.providers.tokenizer import count_tokens
from app.storage.context_cache import ContextKey

REPLY_TOKENS = 100  # the longest reply that is read
MAX_CHARS = 400  # of a context: more would count for more than the chunk itself
# Of what stands around the chunk, the most tokens (cl100k_base) of each; a small model gets less of all.
BEGINNING_TOKENS = 250
BEFORE_TOKENS = 250
AFTER_TOKENS = 150
_SPARE = 0.8  # of the room for a prompt: other tokenizers make more tokens of the same text
_LEAST_CHUNK_TOKENS = 64
_TITLE_CHARS = 300
_MARK = re.compile(r"<(?=\s*/?\s*(?:title|headings|beginning|before|piece|after)\b)", re.IGNORECASE)
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


@dataclass(frozen=True, slots=True)
class Outline:
    """A document as contexts need it: all its chunks in order."""

    uri: str
    title: str
    chunks: Sequence[Chunk]


@dataclass(frozen=True, slots=True)
class Question:
    """What the model is asked for one chunk, and what the reply is kept by."""

    key: ContextKey
    messages: tuple[ChatMessage, ...]

    @property
    def tokens(self) -> int:
        """The length of the prompt, in cl100k_base tokens: an estimate for other tokenizers."""
        return sum(count_tokens(message.content) for message in self.messages)


class Questions:
    """Asks for the contexts of chunks with one prompt and one model."""

    def __init__(self, prompt: Prompt, profile: ChatModelProfile) -> None:
        """Raises ConfigurationError when the model cannot take the prompt with any chunk."""
        self._prompt = prompt
        self._by = f"{prompt.reference}\0{profile.name}"
        empty = dict.fromkeys(prompt.variables, "")
        own = sum(count_tokens(part) for part in prompt.render(**empty))
        self._room = int((profile.context_tokens - REPLY_TOKENS) * _SPARE) - own
        if self._room < _LEAST_CHUNK_TOKENS:
            raise ConfigurationError(
                f"{profile.name} has a context of {profile.context_tokens} tokens, too few for {prompt.reference} and "
                "a chunk: raise FOOTNOTE_CHAT_CONTEXT_TOKENS, or take another model."
            )

    def ask(self, outline: Outline, at: int) -> Question:
        """For the chunk at an index of a document."""
        chunk = outline.chunks[at]
        text = _beginning([chunk], self._room)
        around = self._around(outline.chunks, at, self._room - chunk.token_count)
        title, path = outline.title[:_TITLE_CHARS], " › ".join(chunk.heading_path)
        values = {"title": title, "headings": path, "chunk": text, **around}
        messages = self._prompt.messages(**{name: _MARK.sub("‹", value) for name, value in values.items()})
        key = ContextKey(
            outline.uri,
            key=_hash(self._by, title, "\0".join(chunk.heading_path), chunk.text),
            asked=_hash(self._by, *(message.content for message in messages)),
        )
        return Question(key, tuple(messages))

    def _around(self, chunks: Sequence[Chunk], at: int, room: int) -> dict[str, str]:
        """The beginning of the document and the chunk's neighbours, no part of the text twice."""
        share = min(1.0, max(0, room) / (BEGINNING_TOKENS + BEFORE_TOKENS + AFTER_TOKENS))
        before, shown_from = _end(chunks[:at], int(BEFORE_TOKENS * share))
        return {
            "beginning": _beginning(chunks[:shown_from], int(BEGINNING_TOKENS * share)),
            "before": before,
            "after": _beginning(chunks[at + 1 :], int(AFTER_TOKENS * share)),
        }


def one_line(reply: str, *, cut_off: bool) -> str:
    """A context of a model's reply: one line of at most MAX_CHARS; `cut_off`: the model had not come to its end.

    Empty when the reply has no word in it.
    """
    line = " ".join(_UNSEEN.sub(" ", reply).split()).strip("\"'“”«»` ")
    if len(line) > MAX_CHARS or cut_off:
        line = line[:MAX_CHARS]
        ends = [end.end() for end in re.finditer(r"[.!?…。！？](?=\s|$)", line)]
        line = line[: ends[-1]] if ends else line.rpartition(" ")[0] or line
    return line if re.search(r"\w", line) else ""


def _beginning(chunks: Iterable[Chunk], tokens: int) -> str:
    """The text from the first of the chunks on, as much of it as the tokens allow."""
    text = ""
    for chunk in chunks:
        if tokens <= 0:
            break
        text += _part(chunk, tokens) + chunk.space_after
        tokens -= chunk.token_count
    return text.strip()


def _end(chunks: Sequence[Chunk], tokens: int) -> tuple[str, int]:
    """The text up to the end of the last of the chunks, as much of it as the tokens allow; in which chunk it starts."""
    text, at = "", len(chunks)
    while at and tokens > 0:
        at -= 1
        text = _part(chunks[at], tokens, from_end=True) + chunks[at].space_after + text
        tokens -= chunks[at].token_count
    return text.strip(), at


def _part(chunk: Chunk, tokens: int, *, from_end: bool = False) -> str:
    """A chunk's text, of one that has more tokens about as much as they make out."""
    if chunk.token_count <= tokens:
        return chunk.text
    length = len(chunk.text) * tokens // chunk.token_count
    return chunk.text[len(chunk.text) - length :] if from_end else chunk.text[:length]


def _hash(*parts: str) -> UUID:
    return UUID(bytes=sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()[:16])
