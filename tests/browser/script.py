"""Script: what the fake server answers, with documents to point into.

A script is written as sentences with the words that support them; offsets are counted here, in code points, the way
the real server counts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CREATED_AT = "2026-11-20T10:00:00Z"


@dataclass(frozen=True)
class Event:
    """One event of a run."""

    type: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Hold:
    """The writer waits here until the test lets it go on."""


@dataclass(frozen=True)
class Document:
    """A document with one version, cut into passages at blank lines."""

    id: str
    title: str
    uri: str
    text: str
    headings: tuple[str, ...] = ()
    page: int | None = None

    def as_json(self) -> dict[str, Any]:
        fixed = {"collection": "handbook", "media_type": "text/markdown", "current": True, "valid_from": CREATED_AT}
        named = {"id": self.id, "version_id": f"{self.id}-v1", "uri": self.uri, "title": self.title}
        return {**fixed, **named, "text": self.text}

    def passage(self, quote: str) -> dict[str, Any]:
        """The paragraph that holds the quote."""
        found = self.text.index(quote)
        start = self.text.rfind("\n\n", 0, found) + 2 if "\n\n" in self.text[:found] else 0
        end = self.text.find("\n\n", found + len(quote))
        end = end if end >= 0 else len(self.text)
        return {
            "id": f"{self.id}-{start}",
            "document_id": self.id,
            "version_id": f"{self.id}-v1",
            "title": self.title,
            "uri": self.uri,
            "heading_path": list(self.headings),
            "page": self.page,
            "char_start": start,
            "char_end": end,
            "text": self.text[start:end],
            "score": 0.8,
        }


INSTALL = Document(
    "install",
    "Installing Footnote",
    "https://footnote.example/handbook/install",
    "# Installing Footnote\n\nFootnote runs on Linux and macOS.\n\n"
    "You need Python 3.11 or newer and uv, and nothing else. Clone the repository and type one command: it installs "
    "what is missing, starts the database and the server, and reads the handbook in. 🚀 The first start takes about "
    "half a minute.\n\n"
    "The page is then at http://127.0.0.1:8000. Everything is kept in one folder, which you may delete to start "
    "again.\n\n" + "Upgrades keep your documents. " * 120,
    headings=("Installing Footnote", "On your own machine"),
)
STOPPING = Document(
    "stopping",
    "Answers while they are written",
    "docs/answers.md",
    "Stopping an answer closes the connection to the language model first. 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 letters 👩‍👩‍👧 count too. What was "
    "written so far is kept.\n\nClosing the page changes nothing: the answer goes on and is there when you return.",
    headings=("Answers", "Stopping and leaving"),
    page=12,
)
DOCUMENTS = {document.id: document for document in (INSTALL, STOPPING)}


@dataclass(frozen=True)
class Sentence:
    """A sentence (with the white space behind it) and the words of a document that support it."""

    text: str
    document: Document | None = None
    quote: str = ""
    verdict: str = "supported"


def script(*parts: Sentence | str | Hold, finish: str = "stop") -> list[Event | Hold]:
    """The events of an answer: its passages, each sentence word by word, its citation, the end.

    A plain string is text without a citation.
    """
    cited = [part for part in parts if isinstance(part, Sentence) and part.document]
    passages = {found["id"]: found for found in (part.document.passage(part.quote) for part in cited if part.document)}
    events: list[Event | Hold] = [Event("retrieval.completed", {"passages": list(passages.values())})]
    numbers: dict[tuple[str, int], int] = {}
    written = 0
    for part in parts:
        if isinstance(part, Hold):
            events.append(part)
            continue
        text = part.text if isinstance(part, Sentence) else part
        events += [Event("text.delta", {"text": word}) for word in words(text)]
        if isinstance(part, Sentence):
            events.append(Event("citation", citation(part, written, numbers)))
        written += len(text)
    return [*events, Event("usage", {"prompt_tokens": 500, "completion_tokens": 60}), completed(finish)]


def citation(sentence: Sentence, start: int, numbers: dict[tuple[str, int], int]) -> dict[str, Any]:
    """A citation event's fields; `numbers` remembers which span has which number."""
    span = {"sentence_start": start, "sentence_end": start + len(sentence.text)}
    if sentence.document is None:
        empty = {"passage_id": "", "document_id": "", "char_start": 0, "char_end": 0, "quote": ""}
        return {"index": 0, **span, **empty, "score": 0.0, "verdict": "unsupported"}
    found = sentence.document.text.index(sentence.quote)
    number = numbers.setdefault((sentence.document.id, found), len(numbers) + 1)
    return {
        "index": number,
        **span,
        "passage_id": sentence.document.passage(sentence.quote)["id"],
        "document_id": sentence.document.id,
        "char_start": found,
        "char_end": found + len(sentence.quote),
        "quote": sentence.quote,
        "score": 0.9 if sentence.verdict == "supported" else 0.5,
        "verdict": sentence.verdict,
    }


def completed(finish: str = "stop") -> Event:
    return Event("run.completed", {"finish_reason": finish})


def words(text: str) -> Sequence[str]:
    """The text in pieces that end at spaces."""
    pieces = text.split(" ")
    return [piece + " " for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def default_script() -> list[Event | Hold]:
    """An answer with every kind of sentence."""
    return script(
        Sentence("You need Python 3.11 or newer and uv. ", INSTALL, "You need Python 3.11 or newer and uv"),
        Sentence("One command installs the rest and starts the server. ", INSTALL, "type one command", "partial"),
        "\n\n",
        Sentence(
            "An answer can be stopped, and what was written is kept 👍. ", STOPPING, "What was written so far is kept."
        ),
        Sentence("It also makes coffee."),
    )
