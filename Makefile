# `make` lists the commands; `make check` is exactly what CI runs.
.DEFAULT_GOAL := help
.PHONY: help up check lint types contracts clients test lock bench-citations bench-beir bench-retrieval bench-lexical bench-streams bench-first-token bench-gate bench-attribution bench-refusal bench-topics bench-ingest bench-change drill-chats drill-statistics drill-streams drill-outages drill-stop drill-formats drill-regressions drill-injections drill-uploads drill-reindex drill-ingest drill-ray

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## start everything on this machine: http://127.0.0.1:8000
	uv run footnote up

check: lint types contracts test ## everything that CI runs

lint: ## ruff: style and format
	uv run ruff check
	uv run ruff format --check

types: ## mypy, strict
	uv run mypy

contracts: ## who may import whom
	uv run lint-imports

clients: tests/clients/node_modules/.package-lock.json ## JavaScript clients that tests drive the API with

tests/clients/node_modules/.package-lock.json: tests/clients/package-lock.json
	uv run npm ci --prefix tests/clients --ignore-scripts --no-audit --no-fund
	touch $@

test: clients ## all tests, with coverage (fails under 90 %)
	uv run pytest --cov --cov-report=term:skip-covered --cov-fail-under=90

bench-citations: ## footnotes against gold sentences: make bench-citations DATA=FOLDER
	uv run python -m evals.citations $(DATA) --data-dir .footnote-bench

bench-beir: ## retrieval quality: make bench-beir DATA=FOLDER
	for leg in lexical dense hybrid; do \
		uv run footnote eval run --suite beir:$(DATA) --leg $$leg --data-dir .footnote-bench \
			--json .footnote-bench/$(notdir $(DATA:/=))-$$leg.json || exit 1; \
	done

bench-retrieval: ## search against bare SQL, exact search and other stores: make bench-retrieval [CHUNKS=20000] [ROUNDS=5]
	uv run --group bench python -m evals.bench --chunks $(or $(CHUNKS),20000) --rounds $(or $(ROUNDS),5)

bench-lexical: ## four designs of BM25 in PostgreSQL, with writes: make bench-lexical DATA=FOLDER [CHUNKS=21000] [ROUNDS=3]
	uv run python -m evals.bench.lexical_race --chunks $(or $(CHUNKS),21000) --rounds $(or $(ROUNDS),3) $(if $(DATA),--data $(DATA))

bench-streams: ## an event's way to the client, beside raw ASGI, sse-starlette and FastAPI's own
	uv run python -m evals.bench.streams

bench-first-token: ## what the service adds to the time to the first token, stage by stage
	uv run python -m evals.bench.first_token

bench-gate: ## how often the eval gate is wrong, on simulated changes of known effect
	uv run python -m evals.bench.gate

bench-attribution: ## footnotes and wrong sentences on gold answers: make bench-attribution DATA=FOLDER
	uv run python -m evals.bench.attribution $(DATA) --data-dir .footnote-bench

bench-topics: ## what is searched for a question after another one: make bench-topics DATA="FOLDER…"
	uv run python -m evals.bench.topics $(DATA) --data-dir .footnote-bench

bench-refusal: ## does the gate before the model know questions without an answer: make bench-refusal DATA="FOLDER…"
	uv run --group bench python -m evals.bench.refusal $(DATA) --data-dir .footnote-bench

bench-ingest: ## ingestion beside its embedder, bare COPY and other stores: make bench-ingest DATA=FOLDER|ARCHIVE
	uv run --group bench python -m evals.bench.ingest --docs $(DATA)

bench-change: ## a sync after one paragraph of one file has changed: make bench-change DATA=FOLDER|ARCHIVE
	uv run python -m evals.bench.change --docs $(DATA)

drill-statistics: ## BM25 after 10,000 random writes by 4 writers, beside a fresh index
	uv run python -m evals.drills.statistics

drill-chats: ## 50 chats at once: events lost or repeated, answers stored, event loop blocked
	uv run python -m evals.drills.chats

drill-streams: ## 200 answers while 40 workers are killed; 100 open answers while a worker is ended
	uv run python -m evals.drills.streams
	uv run python -m evals.drills.streams --answers 100 --at-once 100 --words 300 --kills 0 --freezes 0 --ends 1

drill-outages: ## Valkey and PostgreSQL killed and started again while 50 answers are written
	uv run python -m evals.drills.outages

drill-stop: ## 100 answers stopped from a second connection: what the model writes after that
	uv run python -m evals.drills.stop

drill-formats: ## every file of a folder through its loader: make drill-formats FILES=FOLDER
	uv run python -m evals.drills.formats $(FILES) --list

drill-injections: ## 44 attacks in documents and questions: which of them an answer follows, by policy
	uv run python -m evals.drills.injections --list

drill-uploads: ## 100 uploads at once, one of 200 MB, one twice, one that breaks off, a worker killed
	uv run python -m evals.drills.uploads

drill-regressions: ## does the handbook suite catch planted regressions, and pass what changes nothing: make drill-regressions [NOOPS=20]
	uv run python -m evals.drills.regressions --noops $(or $(NOOPS),20)

drill-reindex: ## reindex under fire: questions all the while, three kill -9: make drill-reindex [CHUNKS=20000]
	uv run python -m evals.drills.reindex --chunks $(or $(CHUNKS),20000)

drill-ingest: ## 50 syncs killed, with random edits between, beside a fresh one: make drill-ingest [DOCS=FOLDER|ARCHIVE] [KILLS=50]
	uv run python -m evals.drills.ingest $(if $(DOCS),--docs $(DOCS)) --kills $(or $(KILLS),50)

drill-ray: ## ingestion on two Ray nodes, one of them killed: make drill-ray [DOCS=FOLDER|ARCHIVE]
	uv run python -m evals.drills.spread $(if $(DOCS),--docs $(DOCS))

lock: ## write requirements.lock anew from uv.lock
	uv lock --upgrade
	uv export --no-dev --all-extras --no-emit-project --no-annotate --format requirements.txt --output-file requirements.lock --quiet
