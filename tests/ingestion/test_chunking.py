"""Chunking: nothing is lost, nothing is too long, sections stay apart, offsets are exact."""

import re
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.document import Chunk, Heading, ParsedDocument
from app.providers.tokenizer import count_tokens
from ingestion.chunking.structure import chunk, chunker_id


def parsed(text: str, *headings: tuple[int, str], pages: tuple[int, ...] = ()) -> ParsedDocument:
    """A document whose headings are found in its text."""
    found = [Heading(level, title, text.index(f"{'#' * level} {title}\n")) for level, title in headings]
    return ParsedDocument(text, headings[0][1] if headings else "T", "text/plain", tuple(found), pages)


def cut(document: ParsedDocument, max_tokens: int = 40) -> list[Chunk]:
    return chunk(document, max_tokens=max_tokens, count_tokens=count_tokens)


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    pieces = st.sampled_from(
        [
            "word ",
            "A sentence. ",
            "\n",
            "\n\n",
            "# H\n",
            "```\n",
            "longlonglong" * 9,
            "日本語。",
            "🦊",
            "\t",
            "- item\n",
            "1.2",
        ]
    )
    text = "".join(draw(st.lists(pieces | st.text(max_size=12), max_size=60)))
    starts = sorted(draw(st.sets(st.integers(0, max(len(text) - 1, 0)), max_size=5)))
    headings = tuple(Heading(draw(st.integers(1, 4)), f"h{n}", start) for n, start in enumerate(starts))
    return ParsedDocument(text, "T", "text/plain", headings)


@given(documents(), st.integers(8, 60))
@settings(max_examples=150, deadline=None)
def test_invariants(document: ParsedDocument, max_tokens: int) -> None:
    chunks = cut(document, max_tokens)
    text = document.text
    assert [c.ordinal for c in chunks] == list(range(len(chunks)))
    end = 0
    for c in chunks:
        assert c.text == text[c.char_start : c.char_end] == c.text.strip() != ""
        assert c.token_count == count_tokens(c.text)
        assert c.token_count <= max_tokens or len(c.text) == 1
        assert text[end : c.char_start].strip() == "", "nothing is left out, nothing overlaps"
        assert c.char_start >= end
        end = c.char_end
    assert text[end:].strip() == ""


def test_sections_stay_apart_and_know_their_headings() -> None:
    said = "This part says more than a few words, so that it stands alone, about the"
    text = f"# Guide\n\n{said} guide.\n\n## Setup\n\n{said} setup.\n\n### Linux\n\n{said} Linux.\n\n"
    text += f"## Use\n\n{said} use.\n"
    document = parsed(text, (1, "Guide"), (2, "Setup"), (3, "Linux"), (2, "Use"))
    assert [(c.heading_path, c.text.split()[-1]) for c in cut(document)] == [
        (("Guide",), "guide."),
        (("Guide", "Setup"), "setup."),
        (("Guide", "Setup", "Linux"), "Linux."),
        (("Guide", "Use"), "use."),
    ]


def test_a_heading_without_text_goes_with_what_it_heads() -> None:
    text = "Title\n=====\n\nPart\n----\n\nText of the part.\n"
    document = ParsedDocument(text, "Title", "text/plain", (Heading(1, "Title", 0), Heading(2, "Part", 13)))
    [only] = cut(document)
    assert only.heading_path == ("Title", "Part")
    assert only.text == text.strip()


def test_whole_paragraphs_are_kept_together_while_they_fit() -> None:
    paragraphs = [f"Paragraph {n} says something about the number {n}." for n in range(8)]
    chunks = cut(parsed("\n\n".join(paragraphs)), 40)
    assert len(chunks) < len(paragraphs)
    assert all(c.text.startswith("Paragraph") and c.text.endswith(".") for c in chunks)


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    chunks = cut(parsed(" ".join(f"Sentence {n} is about as long as the others." for n in range(30))), 40)
    assert len(chunks) > 3
    assert all(c.text.startswith("Sentence") and c.text.endswith(".") for c in chunks)


def test_a_fenced_block_is_not_cut_at_its_blank_lines() -> None:
    code = "```python\na = 1\n\nb = 2\n\nc = 3\n```"
    chunks = cut(parsed(f"{'Before it stands a text. ' * 5}\n\n{code}\n\n{'After it comes more. ' * 5}"), 45)
    assert any(code in c.text for c in chunks)


def test_pages_are_those_of_the_chunks_start() -> None:
    text = "One.\n\nTwo.\n\nThree."
    document = ParsedDocument(text, "T", "application/pdf", (), (0, 6, 12))
    assert [c.page for c in chunk(document, max_tokens=2, count_tokens=count_tokens)] == [1, 2, 3]
    assert cut(parsed(text))[0].page is None


def test_time_grows_with_the_text_alone() -> None:
    paragraph = "The quick brown fox jumps over the lazy dog. " * 12 + "\n\n"
    started = perf_counter()
    small = cut(parsed(paragraph * 100), 200)
    first = perf_counter() - started
    large = cut(parsed(paragraph * 1000), 200)
    assert len(large) == pytest.approx(10 * len(small), rel=0.05)
    assert perf_counter() - started - first < 40 * max(first, 0.05), (
        "ten times the text, far less than a hundred times the time"
    )


def test_the_identity_names_the_size() -> None:
    assert re.fullmatch(r"structure-v\d+/200", chunker_id(200))
