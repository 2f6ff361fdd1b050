"""Embedder: the embedding model that the settings name."""

from app.domain.errors import UnknownModel
from app.domain.ports import Embedder
from app.providers.fakes import HashEmbedder
from app.providers.input_types import InputTypes, chosen_input_type, known_input_types
from app.providers.local_embedder import LocalEmbedder
from app.providers.openai_embedder import OpenAIEmbedder
from app.settings import Settings


def make_embedder(settings: Settings, *, later: bool = False) -> Embedder:
    """The embedder of `settings.embedder`.

    The local one loads in the background; `later`: once it is needed. One at an OpenAI-compatible endpoint whose
    dimensions are neither known nor configured is asked for one vector here and now. Raises UnknownModel, MissingKey,
    ConfigurationError or, from that one request, ProviderError.
    """
    kind, _, name = settings.embedder.partition(":")
    if settings.embedder == "local":
        return LocalEmbedder(threads=settings.embedder_threads, later=later)
    if settings.embedder == "scripted":
        return HashEmbedder(settings.embedder_dimensions or 64)
    if kind == "openai" and name:
        return OpenAIEmbedder(
            name,
            base_url=settings.embedder_base_url,
            dimensions=settings.embedder_dimensions,
            timeout_s=settings.chat_timeout_s,
            input_types=_input_types(name, settings),
        )
    raise UnknownModel(
        f"FOOTNOTE_EMBEDDER is `{settings.embedder}`; it takes `local` (the packaged model) or `openai:NAME`, for "
        "example `openai:text-embedding-3-small`; FOOTNOTE_EMBEDDER_BASE_URL is for another endpoint of that protocol."
    )


def _input_types(model: str, settings: Settings) -> InputTypes:
    """What the settings say of them, or else what is known of the model."""
    known = known_input_types(model)
    return InputTypes(
        chosen_input_type(known.query, prefix=settings.embedder_query_prefix, fields=settings.embedder_query_fields),
        chosen_input_type(
            known.passage, prefix=settings.embedder_passage_prefix, fields=settings.embedder_passage_fields
        ),
    )
