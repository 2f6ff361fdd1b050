"""Documents: what anyone may know of where one is."""

import pytest

from app.domain.document import public_name


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("file:///srv/private/ask.md", "ask.md"),
        ("file:///srv/private/how%20to%20ask.md", "how to ask.md"),
        ("file:///srv/private/all.zip!/docs/ask.md", "all.zip!/docs/ask.md"),
        ("upload:ask.md", "upload:ask.md"),
        ("https://example.org/docs/ask.html?page=2", "https://example.org/docs/ask.html?page=2"),
    ],
)
def test_a_file_is_known_by_its_name_and_a_page_by_its_address(uri: str, name: str) -> None:
    assert public_name(uri) == name
