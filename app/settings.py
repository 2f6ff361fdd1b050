"""Settings: the one typed, frozen configuration; the environment is read nowhere else.

`DATABASE_URL` and `REDIS_URL` keep their usual names, everything else is `FOOTNOTE_…`. A `.env` file in the working
directory is read too. Provider keys (`OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, …) are read by the providers' own packages.
"""

import os
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import load_dotenv
from pydantic import (
    AliasChoices,
    Field,
    Json,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.domain.errors import ConfigurationError
from app.domain.index import MOST_DIMENSIONS

_Verbatim = Annotated[str, StringConstraints(strip_whitespace=False)]
_ROOT = Path(__file__).resolve().parent.parent


def _packaged(name: str, in_wheel: str) -> Path:
    """A folder that stands beside `app/` in a checkout and inside it in a wheel."""
    beside = _ROOT / name
    return beside if beside.is_dir() else _ROOT / "app" / in_wheel


def packaged_prompts() -> Path:
    """The folder of the prompts that Footnote comes with."""
    return _packaged("prompts", "prompts")


class Settings(BaseSettings):
    """Everything that can be configured. Names carry their units; every field is explained in docs/configure.md."""

    model_config = SettingsConfigDict(
        env_prefix="FOOTNOTE_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        str_strip_whitespace=True,
    )

    # where things are
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="PostgreSQL with pgvector; unset: an embedded one in the data folder.",
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="Redis or Valkey; unset: an embedded one in the data folder.",
    )
    data_dir: Path = Field(Path(".footnote"), description="Where the embedded services keep their data.")
    prompts_dir: Path = Field(
        default_factory=packaged_prompts, description="Prompt files, or those that differ from the packaged ones."
    )
    handbook_dir: Path = Field(
        default_factory=lambda: _packaged("docs", "handbook"), description="The first corpus of `footnote up`."
    )

    # the server
    host: str = Field("127.0.0.1", description="Address to listen on; another than loopback needs API keys.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Comma-separated keys; when set, every /v1 request needs one."
    )
    visitor_keys: Annotated[tuple[tuple[str, SecretStr], ...], NoDecode] = Field(
        (),
        description="Comma-separated `COLLECTION:KEY`, for pages that anyone may open: such a key asks about that "
        "collection and can do nothing else.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Comma-separated origins of pages that may embed the widget (CORS)."
    )
    max_body_bytes: int = Field(262_144, ge=1024, description="Largest request body.")
    max_message_chars: int = Field(8_000, ge=1, description="Longest question.")
    heartbeat_s: float = Field(15, gt=0, description="Silence after which a stream sends a comment.")
    shutdown_grace_s: float = Field(10, ge=0, description="Time that running answers get when the server stops.")
    log_format: Literal["console", "json"] = Field("console", description="How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")

    # models
    chat_model: str = Field(
        "local",
        description="`local`, `gguf:PATH`, `openai:NAME`, `anthropic:NAME`, `ollama:NAME`, `extractive`, `scripted`.",
    )
    chat_models: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated models that answer, in this order, when the one before fails without a word; each "
        "at its provider's usual address.",
    )
    chat_base_url: str | None = Field(None, description="Another endpoint that speaks the chat model's protocol.")
    chat_context_tokens: int | None = Field(
        None, ge=512, description="Prompt and answer together; unset: what the model's kind can take."
    )
    chat_max_tokens: int = Field(800, ge=16, description="Longest answer.")
    chat_timeout_s: float = Field(60, gt=0, description="Longest silence of the chat model's provider.")
    chat_input_price: float | None = Field(
        None, ge=0, description="What a million tokens of prompts cost, in your currency; costs are said with it."
    )
    chat_output_price: float | None = Field(
        None, ge=0, description="What a million tokens of answers cost, in your currency; costs are said with it."
    )
    chat_threads: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 2) // 2),
        ge=1,
        description="Threads with which a model on this machine writes; by default half the cores, because they wait "
        "for each other at every token, and sharing their cores with others slows them down many times over.",
    )
    chat_prompt_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 2,
        ge=1,
        description="Threads with which a model on this machine reads its prompt; by default all cores.",
    )
    scripted_tokens_per_s: float = Field(50, gt=0, description="Speed of the `scripted` model.")
    embedder: str = Field("local", description="`local` or `openai:NAME`.")
    embedder_base_url: str | None = Field(None, description="Another endpoint that speaks OpenAI's protocol.")
    embedder_dimensions: int | None = Field(
        None, ge=1, le=MOST_DIMENSIONS, description="Ask the embedder for this many."
    )
    embedder_query_prefix: _Verbatim | None = Field(
        None,
        description="What stands before a question that is embedded; unset: what the model is known to want; `none`: "
        "nothing.",
    )
    embedder_passage_prefix: _Verbatim | None = Field(
        None,
        description="What stands before a passage that is embedded; unset: what the model is known to want; `none`: "
        "nothing.",
    )
    embedder_query_fields: Json[dict[str, Any]] | None = Field(
        None,
        description="What a request to embed a question says besides, as JSON; unset: what the model is known to want; "
        "`{}`: nothing.",
    )
    embedder_passage_fields: Json[dict[str, Any]] | None = Field(
        None,
        description="What a request to embed passages says besides, as JSON; unset: what the model is known to want; "
        "`{}`: nothing.",
    )
    embedder_threads: int = Field(2, ge=1, description="Threads of the local embedder.")
    reranker: str = Field("none", description="`none`, `cohere:NAME`, `jina:NAME`, `tei` or `chat`.")
    reranker_base_url: str | None = Field(None, description="Another endpoint that speaks the reranker's protocol.")
    reranker_timeout_s: float = Field(
        1.0, gt=0, description="Longest wait for the whole of reranking; then the passages keep their order."
    )
    reranker_batch: int | None = Field(
        None, ge=1, le=1000, description="Most passages in one request to the reranker; unset: 32 with `tei`, else 100."
    )
    rerank_candidates: int = Field(50, ge=1, le=500, description="How many of the best passages are reranked.")

    # ingestion
    sources_file: Path = Field(Path("footnote.toml"), description="Where sources are declared for `footnote sync`.")
    chunk_tokens: int = Field(200, ge=32, le=2000, description="Largest chunk, in cl100k_base tokens.")
    max_file_bytes: int = Field(104_857_600, ge=1024, description="Largest file that is ingested.")
    keep_uploads: bool = Field(
        True, description="Keep the last uploaded file of each document, so that it can be re-ingested."
    )
    text_search_config: str = Field(
        "auto",
        pattern=r"^[a-z_]+$",
        description="PostgreSQL text search configuration of new documents; `auto`: that of each document's language.",
    )

    # retrieval and answers
    candidates_per_leg: int = Field(150, ge=1, le=1000, description="How many chunks each retrieval leg proposes.")
    fusion: Literal["adaptive", "convex", "rrf"] = Field(
        "adaptive",
        description="How the legs' proposals become one ranking: by their scores, weighted anew for each question "
        "or always alike, or by their ranks.",
    )
    fusion_dense_weight: float = Field(
        0.35, ge=0, le=1, description="Share of the dense leg in the fusion of scores; the rest is the lexical leg's."
    )
    bm25_k1: float = Field(1.2, gt=0, le=10, description="BM25: how slowly repetition of a word stops counting.")
    bm25_b: float = Field(0.75, ge=0, le=1, description="BM25: how much a chunk's length counts.")
    hnsw_candidate_rows: int = Field(
        16,
        ge=0,
        description="So many chunks are compared one by one in the time in which the HNSW index yields a candidate; "
        "from it follows which way a search goes.",
    )
    hnsw_ef_search: int = Field(150, ge=1, le=1000, description="Breadth of the search in the HNSW index.")
    passages_per_answer: int = Field(6, ge=1, le=50, description="Most passages given to the chat model.")
    history_tokens: int = Field(
        1_000,
        ge=100,
        description="Most tokens of earlier messages in a prompt; what does not fit is summarised.",
    )
    rrf_k: int = Field(60, ge=1, description="Constant of reciprocal rank fusion.")
    min_evidence: float = Field(
        0.07,
        ge=0,
        le=1,
        description="Least probability that the passages found hold an answer; below it the question is refused.",
    )
    unsupported: Literal["auto", "mark", "withhold"] = Field(
        "auto",
        description="Sentences without support: shown marked, or not shown. `auto` withholds for the packaged model.",
    )
    own_words: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="Where they are not shown: whether a model may say in its own words what passages say. `auto`: not "
        "the packaged one and GGUF files under 2 GB.",
    )

    # runs
    runs_per_minute: int | None = Field(
        None, ge=1, description="Answers that one key may ask for in a minute; unset: any number."
    )
    runs_at_once: int | None = Field(
        None,
        ge=1,
        description="Answers of one key that are written at the same time; unset: any number. Those that wait count.",
    )
    runs_written: int | None = Field(
        None,
        ge=1,
        description="Answers that all workers together write at the same time; more wait. Unset: any number.",
    )
    abandon_after_s: float = Field(
        120, ge=0, description="An answer that nobody has read for this long is stopped; 0: never."
    )
    run_max_s: float = Field(300, gt=0, description="Longest run.")
    run_lease_s: float = Field(10, gt=0, description="A worker silent for this long has lost its runs to the others.")
    run_log_ttl_s: int = Field(3600, ge=1, description="How long a finished run's log can be resumed.")
    database_pool_size: int = Field(10, ge=1, description="Connections to PostgreSQL for each worker and pool.")

    @field_validator("api_keys", "allowed_origins", "chat_models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("visitor_keys", mode="before")
    @classmethod
    def _with_collections(cls, value: object) -> object:
        parts = cls._split(value)
        if not isinstance(parts, tuple) or not all(isinstance(part, str) for part in parts):
            return value
        pairs = [part.rpartition(":") for part in parts]
        if not all(collection and key for collection, _, key in pairs):
            raise ValueError("a visitors' key needs its collection before it, as in `handbook:KEY`")
        return [(collection, key) for collection, _, key in pairs]

    @field_validator("api_keys", "visitor_keys")
    @classmethod
    def _usable(cls, keys: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        found = [(key[1] if isinstance(key, tuple) else key).get_secret_value() for key in keys]
        if any(len(key) < 16 for key in found):
            raise ValueError("an API key needs at least 16 characters; `openssl rand -hex 24` makes one")
        others = () if info.field_name == "api_keys" else info.data.get("api_keys", ())
        found += [key.get_secret_value() for key in others]
        if len(set(found)) < len(found):
            raise ValueError("the same key stands there twice, or in FOOTNOTE_API_KEYS too; make one for each use")
        return keys

    @cached_property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def uploads_dir(self) -> Path:
        """Where uploaded files lie, each under its job's id."""
        return self.data_dir / "uploads"

    def require_safe_listener(self) -> None:
        """Raise ConfigurationError when others could reach a server without keys."""
        if not self.loopback and not self.api_keys and not self.visitor_keys:
            raise ConfigurationError(
                f"Refusing to listen on {self.host} without an API key: whoever reaches it could read every document. "
                "Set FOOTNOTE_API_KEYS (`openssl rand -hex 24` makes a key), or listen on 127.0.0.1."
            )


def load_settings(**overrides: object) -> Settings:
    """Read the environment (and `.env`); `overrides` that are not None win. Raises ConfigurationError with names.

    What `.env` names joins the environment, where the providers' packages look for their keys; what is set there stays.
    """
    try:
        load_dotenv(".env", encoding="utf-8-sig")  # Windows' editors begin files with a mark that is no name's
    except UnicodeDecodeError as error:
        raise ConfigurationError("The file .env is not UTF-8; save it as such.") from error
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [f"{variable_of(str(e['loc'][0]))}: {e['msg']}" for e in error.errors() if e["loc"]]
        raise ConfigurationError("The settings are not usable. " + "; ".join(lines)) from error


def environment_value(name: str) -> str | None:
    """A variable by its name: one that a declared source names, or one that a package is configured by."""
    return os.environ.get(name)


def variable_of(field: str) -> str:
    """The environment variable of a field."""
    return field.upper() if field.lower() in {"database_url", "redis_url"} else f"FOOTNOTE_{field.upper()}"
