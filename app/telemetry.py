"""Telemetry: how log lines look, and what is counted."""

import logging
import sys

import structlog
from opentelemetry import trace
from prometheus_client import Counter, Gauge, Histogram

from app.domain.errors import ConfigurationError
from app.settings import environment_value

TRACER = trace.get_tracer("footnote")
"""Makes the spans of an answer's stages; they go nowhere until `configure_tracing` was called."""

RUNS = Counter("footnote_runs_total", "Answers by how they ended.", ["end"])
RUNS_ACTIVE = Gauge("footnote_runs_active", "Answers being written.", multiprocess_mode="livesum")
RUNS_QUEUED = Gauge(
    "footnote_runs_queued", "Answers that wait for a place, with any worker.", multiprocess_mode="livemax"
)
RUN_LOG_LAG = Gauge(
    "footnote_run_log_lag_events", "Events that do not stand in the run log yet.", multiprocess_mode="livesum"
)
TIME_TO_FIRST_TOKEN = Histogram(
    "footnote_time_to_first_token_seconds",
    "From the question to the model's first token.",
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60),
)
INTER_TOKEN = Histogram(
    "footnote_inter_token_seconds",
    "Between two pieces of an answer's text, as they enter its log.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
TAKE_OVERS = Counter("footnote_take_overs_total", "Answers that this worker went on with after another one.")
ABANDONED = Counter("footnote_abandoned_total", "Answers that were stopped because nobody read them.")
REWINDS = Counter("footnote_rewinds_total", "Times that text was taken back while an answer was written.")
RERANKINGS = Counter("footnote_rerankings_total", "Searches with a reranker, by whether its order was used.", ["end"])
EVENT_LOOP_LAG_MAX = Gauge(
    "footnote_event_loop_lag_seconds_max",
    "Longest time that a worker's event loop was blocked in the last minute.",
    multiprocess_mode="livemax",
)


def configure_tracing() -> None:
    """Send spans to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names, if it names one.

    The SDK reads everything else from its own variables (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, …). Raises
    ConfigurationError when it is not installed.
    """
    if not environment_value("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry's SDK is not installed: `uv sync --extra otel`."
        ) from error
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: environment_value("OTEL_SERVICE_NAME") or "footnote"})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def span_between(name: str, began_ns: int, ended_ns: int) -> None:
    """A span that is over, below the current one; the times are those of `time.time_ns`."""
    TRACER.start_span(name, start_time=began_ns).end(ended_ns)


def configure_logging(*, level: str, json: bool) -> None:
    """Log to standard error, each line with its event's fields; uvicorn's and other libraries' lines too."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # plain: structlog's own choice prints every frame's variables, in which keys and questions stand
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer() if json else console
    tail: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, renderer] if json else [renderer]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "openai", "alembic", "psycopg.pool", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
