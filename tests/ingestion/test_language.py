"""Languages: of what is declared and what a text looks like."""

import pytest

from app.domain.document import ParsedDocument
from ingestion.language import config_of
from ingestion.parsing import Cutting, parse
from ingestion.sandbox import Sandbox
from ingestion.sources.source import Content

GERMAN = "Der Mieter kündigt den Vertrag über die Wohnung bis zum dritten Tag des Monats. "


@pytest.mark.parametrize(
    ("media_type", "text", "config"),
    [
        ("text/html", GERMAN * 2, "german"),  # pages often have the language of their template
        ("application/pdf", GERMAN * 2, "german"),
        ("text/html", "Wohnung", "english"),
        ("text/markdown", GERMAN * 2, "english"),  # a person has said so
        ("text/markdown", GERMAN * 8, "german"),
    ],
)
def test_a_text_that_is_plainly_in_another_language_than_declared(media_type: str, text: str, config: str) -> None:
    document = ParsedDocument(text=text, title="A", media_type=media_type, metadata={"language": "en-US"})
    assert config_of(document, "auto") == config


@pytest.mark.parametrize("media_type", ["text/html", "text/markdown"])
def test_what_a_person_says_of_the_language_stands(media_type: str) -> None:
    metadata = {"language": "en", "team": "x"}
    document = ParsedDocument(text=GERMAN * 8, title="A", media_type=media_type, metadata=metadata)
    assert config_of(document, "auto", {"lang": "fr-CA"}) == "french"
    assert config_of(document, "auto", {"language": ""}) == "german"
    assert config_of(document, "simple", {"language": "fr"}) == "simple"


def test_the_language_in_the_metadata_of_an_upload_or_a_row_is_a_persons_word() -> None:
    page = f"<html lang=en><body><p>{GERMAN * 8}</p></body></html>".encode()
    with Sandbox() as sandbox:
        for metadata, config in (({}, "german"), ({"language": "fr"}, "french")):
            found = parse(Content("a.html", page, metadata=dict(metadata)), Cutting(200, "auto"), sandbox)
            assert found.parsed is not None
            assert found.parsed.text_search_config == config
