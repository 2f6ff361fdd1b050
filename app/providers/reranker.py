"""Reranker: the reranking model that the settings name."""

import os
from dataclasses import dataclass

from app.domain.errors import ConfigurationError, MissingKey, UnknownModel
from app.domain.ports import Reranker
from app.providers.chat_model import make_chat_model
from app.providers.chat_reranker import ChatReranker
from app.providers.http_reranker import COHERE, JINA, TEI, HttpReranker, Shape
from app.providers.local_chat import LocalChatModel
from app.providers.prompt_files import PromptFiles
from app.providers.resilience import Endpoint
from app.settings import Settings

_SETTING = "FOOTNOTE_RERANKER"
_BASE_URL = "FOOTNOTE_RERANKER_BASE_URL"
_TIMEOUT = "FOOTNOTE_RERANKER_TIMEOUT_S"
_ACCEPTED = (
    "`none`, `cohere:NAME`, `jina:NAME` (also for other servers of that protocol), `tei` with "
    f"{_BASE_URL}, or `chat` for the yes/no probability of the model that FOOTNOTE_CHAT_MODEL runs on this machine; "
    "for example `cohere:rerank-v3.5`"
)


@dataclass(frozen=True, slots=True)
class _Provider:
    shape: Shape
    key_variables: tuple[str, ...]
    base_url: str | None = None


_PROVIDERS = {
    "cohere": _Provider(COHERE, ("COHERE_API_KEY", "CO_API_KEY"), "https://api.cohere.com"),
    "jina": _Provider(JINA, ("JINA_API_KEY",), "https://api.jina.ai"),
    "tei": _Provider(TEI, ("TEI_API_KEY",)),
}


def make_reranker(settings: Settings) -> Reranker | None:
    """The reranker of `settings.reranker`; None for `none`.

    Nothing is asked of a provider here; `chat` starts to load the model in the background, in a process of its own.
    Provider keys come from the environment by their usual names. Raises UnknownModel, MissingKey, ConfigurationError.
    """
    kind, _, name = settings.reranker.partition(":")
    if settings.reranker == "none":
        return None
    if settings.reranker == "chat":
        return _chat(settings)
    if kind not in _PROVIDERS or bool(name) == (kind == "tei"):
        raise UnknownModel(f"{_SETTING} is `{settings.reranker}`; it takes {_ACCEPTED}.")
    return _http(kind, name or kind, settings)


def _http(kind: str, name: str, settings: Settings) -> HttpReranker:
    provider = _PROVIDERS[kind]
    key_variable, key = _key(provider.key_variables)
    base_url = _base_url(settings.reranker_base_url or provider.base_url, kind)
    if key is None and settings.reranker_base_url is None:
        raise MissingKey(
            f"`{settings.reranker}` needs an API key: set {key_variable} in the environment. "
            f"For a server of your own that wants no key, set {_BASE_URL}."
        )
    endpoint = Endpoint(kind, name, _SETTING, base_url, key_variable, (key,) if key else (), _TIMEOUT)
    timeout_s, batch = settings.reranker_timeout_s, settings.reranker_batch
    return HttpReranker(endpoint, provider.shape, key=key, timeout_s=timeout_s, batch=batch)


def _base_url(url: str | None, kind: str) -> str:
    """The address before the protocol's own path; one that ends in `/v1`, as others of its kind do, is taken too."""
    if url is None:
        raise ConfigurationError(f"{_SETTING}={kind} needs {_BASE_URL}, for example `http://127.0.0.1:8080`.")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{_BASE_URL} must begin with `http://` or `https://`.")
    return url.rstrip("/").removesuffix("/v1").removesuffix("/v2")


def _key(variables: tuple[str, ...]) -> tuple[str, str | None]:
    """The variable that is set, with its key, or the first one and None."""
    for variable in variables:
        if key := os.environ.get(variable, "").strip():
            if not (key.isascii() and key.isprintable()):
                raise ConfigurationError(f"{variable} has characters that no API key has; copy it again.")
            return variable, key
    return variables[0], None


def _chat(settings: Settings) -> ChatReranker:
    prompt = PromptFiles(settings.prompts_dir).active("rerank")
    if settings.chat_model == "local" or settings.chat_model.startswith("gguf:"):
        model = make_chat_model(settings)
        if isinstance(model, LocalChatModel):
            return ChatReranker(model, prompt)
    raise ConfigurationError(
        f"{_SETTING}=chat reads probabilities of a model on this machine: FOOTNOTE_CHAT_MODEL must be `gguf:PATH` "
        f"(or `local`), and is `{settings.chat_model}`."
    )
