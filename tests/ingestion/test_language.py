"""Languages: of what is declared and what a text looks like."""

import pytest

from app.domain.document import ParsedDocument
from ingestion.language import config_of

GERMAN = "Der Mieter kündigt den Vertrag über die Wohnung bis zum dritten Tag des Monats. "


@pytest.mark.parametrize(
    ("media_type", "text", "config"),
    [
        ("text/html", GERMAN * 2, "german"),  # pages often have the language of their template
        ("text/html", "Wohnung", "english"),
        ("text/markdown", GERMAN * 2, "english"),  # a person has said so
        ("text/markdown", GERMAN * 8, "german"),
    ],
)
def test_a_text_that_is_plainly_in_another_language_than_declared(media_type: str, text: str, config: str) -> None:
    document = ParsedDocument(text=text, title="A", media_type=media_type, metadata={"language": "en-US"})
    assert config_of(document, "auto") == config
