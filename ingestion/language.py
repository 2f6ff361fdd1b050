"""Language: which one a document is written in."""

from functools import cache
from threading import Lock
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
UNSURE = "english"  # of a text too short to tell
_LOADING = Lock()

# Languages that PostgreSQL has no stems for, but whose texts must not be taken for one that it has.
_OTHERS = ("zh", "ja", "ko", "th", "lo", "km", "my", "vi", "pl", "cs", "sk", "sl", "hr", "bg", "uk", "fa", "he", "ur")


def config_of(document: ParsedDocument, setting: str) -> str:
    """The text search configuration of a document: the setting's, or for `auto` that of its language.

    The language is what its metadata says (`language` or `lang`), unless its text is plainly in another (a web page may
    have the language of its template), else what its text looks like.
    """
    if setting != "auto":
        return setting
    sample, given = document.text[:SAMPLE_CHARS], document.metadata.get("language") or document.metadata.get("lang")
    declared = given.strip() if isinstance(given, str) else ""
    is_page = document.media_type == "text/html"
    if declared and len(sample) < (PLAIN_PAGE_CHARS if is_page else PLAIN_CHARS):
        return text_search_config(declared)
    language, probability = load().classify(sample)
    if declared and probability < (PLAIN_PAGE if is_page else PLAIN):
        return text_search_config(declared)
    return text_search_config(language) if probability >= CERTAIN else UNSURE


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
