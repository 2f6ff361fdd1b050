"""Language: how PostgreSQL reads a document's words, by the language that it is written in."""

TEXT_SEARCH_CONFIGS: dict[str, str] = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
"""ISO 639-1 code to the configuration of stock PostgreSQL (14 and later) that knows the language's stems."""

UNSTEMMED = "simple"
"""The configuration of every other language: words as they stand, scripts without spaces as pairs of characters."""


def text_search_config(language: str) -> str:
    """The configuration for an ISO 639-1 code, which may carry a region (`pt-BR`)."""
    return TEXT_SEARCH_CONFIGS.get(language.lower().replace("_", "-").partition("-")[0], UNSTEMMED)
