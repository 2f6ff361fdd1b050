"""Language: which one a document is written in."""

from collections.abc import Mapping
from functools import cache
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING

from app.domain.document import ParsedDocument
from app.domain.language import TEXT_SEARCH_CONFIGS, text_search_config

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

SAMPLE_CHARS = 4000
CERTAIN = 0.9
# A text so long that looks so much like another language is not of the declared one.
# Pages often declare their template's.
PLAIN_CHARS, PLAIN = 500, 0.999
PLAIN_PAGE_CHARS, PLAIN_PAGE = 100, CERTAIN
_PAGES = {"text/html", "application/pdf"}
UNSURE = "english"  # of a text too short to tell
_LOADING = Lock()

# Languages that PostgreSQL has no stems for, but whose texts must not be taken for one that it has.
_OTHERS = ("zh", "ja", "ko", "th", "lo", "km", "my", "vi", "pl", "cs", "sk", "sl", "hr", "bg", "uk", "fa", "he", "ur")


def config_of(document: ParsedDocument, setting: str, given: Mapping[str, object] = MappingProxyType({})) -> str:
    """The text search configuration of a document: the setting's, or for `auto` that of its language.

    The language is what the metadata say that were `given` with the document (`language` or `lang`), else what its own
    say, unless its text is plainly in another (a page may have the language of its template), else what its text looks
    like.
    """
    if setting != "auto":
        return setting
    if said := _language_in(given):
        return text_search_config(said)
    sample, declared = document.text[:SAMPLE_CHARS], _language_in(document.metadata)
    is_page = document.media_type in _PAGES
    if declared and len(sample) < (PLAIN_PAGE_CHARS if is_page else PLAIN_CHARS):
        return text_search_config(declared)
    language, probability = load().classify(sample)
    if declared and probability < (PLAIN_PAGE if is_page else PLAIN):
        return text_search_config(declared)
    return text_search_config(language) if probability >= CERTAIN else UNSURE


def _language_in(metadata: Mapping[str, object]) -> str:
    said = metadata.get("language") or metadata.get("lang")
    return said.strip() if isinstance(said, str) else ""


def load() -> "LanguageIdentifier":
    """What tells languages apart, once it is loaded: half a second, blocking, of which others can use most."""
    with _LOADING:
        return _identifier()


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - 4 MB of weights, for ingestion only

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(sorted({*TEXT_SEARCH_CONFIGS, *_OTHERS} & set(identifier.labels)))
    return identifier
