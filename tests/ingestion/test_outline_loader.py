"""AsciiDoc and Org: the text as it is, its headings, and what only looks like one."""

from pathlib import Path

from ingestion.loaders.dispatch import load

ASCIIDOC = b"""= The lamp
:author: Ann

== Light

It is seen for twenty miles.

----
== not a heading, but code
----

=== The lens
|===
|a |b
|===
==not one either
"""
ORG = b"""#+TITLE: The island
* TODO [#A] Keeper :people:
Lives there.
#+begin_src python
* no heading
#+end_src
** House
** Garden
*bold* is no heading
"""


def titles(name: str, data: bytes) -> list[tuple[int, str]]:
    document = load(Path(name), data)
    assert document.text == data.decode()
    assert all(document.text.startswith(("=", "*"), heading.char_start) for heading in document.headings)
    return [(heading.level, heading.title) for heading in document.headings]


def test_sections_of_asciidoc() -> None:
    assert titles("lamp.adoc", ASCIIDOC) == [(1, "The lamp"), (2, "Light"), (3, "The lens")]
    assert load(Path("lamp.adoc"), ASCIIDOC).title == "The lamp"


def test_headlines_of_org() -> None:
    assert titles("island.org", ORG) == [(1, "Keeper"), (2, "House"), (2, "Garden")]
    assert load(Path("island.org"), ORG).title == "The island"


def test_what_the_header_declares_is_metadata() -> None:
    org = b"#+title: The island\n#+AUTHOR: Ann\n#+date: <2026-03-01 Sun>\n#+language: de\n* House\n#+author: Bo\n"
    assert load(Path("a.org"), org).metadata == {"author": "Ann", "date": "2026-03-01", "language": "de"}
    revised = b"= The lamp\nAnn Lee <ann@example.org>\nv1.0, 2026-03-01: first\n:lang: en\n\n:author: Bo\n"
    assert load(Path("a.adoc"), revised).metadata == {"author": "Ann Lee", "date": "2026-03-01", "language": "en"}
    assert load(Path("a.adoc"), ASCIIDOC).metadata == {"author": "Ann"}
    assert load(Path("a.adoc"), b"Ann Lee\nBo Lee\n").metadata == {}
