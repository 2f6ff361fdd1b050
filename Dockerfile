# The service for production: it takes DATABASE_URL and REDIS_URL and brings no database of its own to life.
FROM python:3.12-slim AS build
RUN pip install --no-cache-dir uv
WORKDIR /srv/footnote
COPY pyproject.toml requirements.lock README.md LICENSE ./
RUN uv venv && uv pip install --no-deps --require-hashes -r requirements.lock
COPY app app
COPY ingestion ingestion
COPY evals evals
COPY prompts prompts
COPY docs docs
RUN uv pip install --no-deps .

FROM python:3.12-slim
# The packaged language model and GGUF files need OpenMP.
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
# A volume for the data folder, where uploads lie, takes over whose it is here.
RUN useradd --create-home --uid 10001 footnote && install -d -o footnote -g footnote -m 711 /home/footnote/.footnote
COPY --from=build /srv/footnote/.venv /srv/footnote/.venv
ENV PATH=/srv/footnote/.venv/bin:$PATH PYTHONUNBUFFERED=1 FOOTNOTE_HOST=0.0.0.0 FOOTNOTE_LOG_FORMAT=json
USER footnote
WORKDIR /home/footnote
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["sh", "-c", "footnote migrate && exec footnote serve"]
