"""Contexts of a collection: turned on and off, written once, kept apart from the text, and nowhere in the way."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import command_line
from app.domain.errors import (
    CollectionNotFound,
    ConfigurationError,
    ContextsRefused,
    InvalidInput,
    ProviderUnavailable,
)
from app.domain.job import JobState, Upload
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.providers.fakes import HashEmbedder
from app.storage.building import Building, Filled
from app.storage.engine import Database
from app.storage.generations import active_generation
from app.storage.jobs import JobStore, new_job_id
from app.storage.queue import open_queue
from app.storage.schema import migrate
from ingestion.cli import ingest_files
from ingestion.contexts import AT_ONCE
from ingestion.generations import purge
from ingestion.opening import opened_database
from ingestion.reindex import reindex
from ingestion.sources.files import find_files
from ingestion.worker import open_worker
from tests.fixtures.contextual import Contextual
from tests.fixtures.syncing import Syncing

CHUNKER = "structure-v2/200"
PARAGRAPHS = [f"Paragraph {n} says what {' '.join(f'word{n}x{i}' for i in range(120))}." for n in range(5)]
TEXT = "\n\n".join(PARAGRAPHS)
SHOWN = """
    SELECT c.ordinal, c.text, c.char_start, c.char_end, c.space_after, c.heading_path, c.token_count, l.terms, l.length
    FROM chunk c JOIN chunk_lexeme l ON l.chunk_id = c.id ORDER BY c.document_id, c.ordinal
"""


def changed(paragraph: int) -> str:
    """The text with one paragraph in other words."""
    return "\n\n".join(
        [*PARAGRAPHS[:paragraph], PARAGRAPHS[paragraph].replace("says", "tells"), *PARAGRAPHS[paragraph + 1 :]]
    )


async def test_turning_on_embeds_every_chunk_with_its_context_and_shows_none(contextual: Contextual) -> None:
    syncing = contextual.syncing
    syncing.write("a.md", TEXT)
    syncing.write("b.md", "# Bees\n\nBees make honey.")
    await asyncio.to_thread(syncing)
    before = contextual.rows(SHOWN)
    state = await asyncio.to_thread(contextual)
    assert (state["on"], state["chunks"], state["lacking"], state["empty"]) == (False, len(before), len(before), 0)
    assert contextual.model.asked == 0

    done = await asyncio.to_thread(contextual, "--on")
    assert (done["done"], done["contexts"], done["embedded"], done["empty"]) == (len(before),) * 3 + (0,)
    assert done["state"] == {"chunks": len(before), "lacking": 0, "empty": 0}
    assert contextual.model.asked == len(before)
    assert set(contextual.contexts()) == {"This is from a.", "This is from Bees."}
    assert await contextual.wrong_vectors() == 0
    assert contextual.rows(SHOWN) == before, "what is shown, cited and searched for words is as it was"

    again = await asyncio.to_thread(contextual, "--on")
    assert (again["done"], again["contexts"], again["embedded"]) == (0, 0, 0)
    assert (await asyncio.to_thread(contextual))["on"] is True


def test_one_changed_paragraph_asks_for_one_context(contextual: Contextual) -> None:
    syncing = contextual.syncing
    syncing.write("a.md", TEXT)
    syncing()
    contextual("--on")
    asked = contextual.model.asked
    assert syncing().contexts == 0, "nothing changed"
    for paragraph in (2, 0):  # the beginning is shown with every chunk
        syncing.write("a.md", changed(paragraph))
        syncing()
        syncing.write("a.md", TEXT)
        report = syncing()
        assert (report.changed, report.contexts, report.embedded) == (1, 0, 1), "as it was before"
    assert contextual.model.asked == asked + 2
    syncing.write("a.md", changed(4))
    report = syncing()
    assert (report.contexts, report.embedded) == (1, 1)
    assert contextual.contexts() == ["This is from a."] * report.chunks


async def test_a_run_that_fails_keeps_what_was_written_and_goes_on(contextual: Contextual) -> None:
    syncing = contextual.syncing
    for number in range(40):
        syncing.write(f"{number:02}.md", f"# Document {number}\n\n{TEXT}")
    await asyncio.to_thread(syncing)
    chunks = len(contextual.contexts())
    assert chunks > 128
    contextual.model.fails_at = 100
    failed = await asyncio.to_thread(contextual.run, "--on", "--yes")
    assert isinstance(failed.exception, ProviderUnavailable)
    assert failed.exception.message == "The language model is away."
    [(kept,)] = contextual.rows("SELECT count(*) FROM chunk_context")
    [(written,)] = contextual.rows("SELECT count(*) FROM chunk WHERE context IS NOT NULL")
    assert 99 - AT_ONCE <= kept <= 99
    assert written == 64, "a batch that failed is not written in part"
    assert await contextual.wrong_vectors() == 0
    state = await asyncio.to_thread(contextual)
    assert (state["on"], state["lacking"], state["missing"]["contexts"]) == (True, chunks - 64, chunks - kept)
    done = await asyncio.to_thread(contextual, "--on")
    assert (done["done"], done["contexts"], done["state"]["lacking"]) == (chunks - 64, chunks - kept, 0)
    assert await contextual.wrong_vectors() == 0


def test_a_run_that_is_killed_goes_on(syncing: Syncing, tmp_path: Path) -> None:
    syncing.write("a.md", TEXT)
    syncing()
    [(chunks,)] = syncing.rows("SELECT count(*) FROM chunk")
    settings = syncing.settings
    assert settings.database_url is not None
    assert settings.redis_url is not None
    environment = os.environ | {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "FOOTNOTE_EMBEDDER": "scripted",
        "FOOTNOTE_CHAT_MODEL": "scripted",
    }
    command = [sys.executable, "-m", "app.cli", "context", "default", "--on", "--yes"]
    slow = subprocess.Popen(command, env=environment | {"FOOTNOTE_SCRIPTED_TOKENS_PER_S": "2"}, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (kept := syncing.rows("SELECT key, created_at FROM chunk_context ORDER BY key")):
        assert time.monotonic() < deadline
        assert slow.poll() is None
        time.sleep(0.02)
    slow.send_signal(signal.SIGKILL)
    slow.wait()
    assert len(kept) < chunks
    assert syncing.rows("SELECT count(*) FROM chunk WHERE context IS NOT NULL") == [(0,)]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert syncing.rows("SELECT count(*) FROM chunk WHERE context IS NULL") == [(0,)]
    after = syncing.rows("SELECT key, created_at FROM chunk_context ORDER BY key")
    assert len(after) == chunks
    assert set(kept) <= set(after)


async def test_turning_off_and_on_again_costs_no_context(contextual: Contextual) -> None:
    contextual.syncing.write("a.md", TEXT)
    await asyncio.to_thread(contextual.syncing)
    plain = contextual.rows("SELECT text_hash FROM chunk ORDER BY ordinal")
    await asyncio.to_thread(contextual, "--on")
    asked = contextual.model.asked
    done = await asyncio.to_thread(contextual, "--off")
    assert done["done"] == done["embedded"] == len(plain)
    assert set(contextual.contexts()) == {None}
    assert contextual.rows("SELECT text_hash FROM chunk ORDER BY ordinal") == plain
    assert await contextual.wrong_vectors() == 0
    contextual.syncing.write("b.md", "Bees make honey.")
    assert (await asyncio.to_thread(contextual.syncing)).contexts == 0
    state = await asyncio.to_thread(contextual)
    assert (state["on"], state["missing"]["contexts"]) == (False, 1), "that of the new document"
    assert (await asyncio.to_thread(contextual, "--on"))["contexts"] == 1
    assert contextual.model.asked == asked + 1
    assert await contextual.wrong_vectors() == 0


@pytest.mark.parametrize("first", ["with", "without"])
async def test_a_text_with_a_context_and_one_without_share_no_vector(contextual: Contextual, first: str) -> None:
    syncing = contextual.syncing
    syncing.write("a.md", TEXT)
    await asyncio.to_thread(contextual, "--on", collection="with")  # before the first document
    for collection in ("with", "without") if first == "with" else ("without", "with"):
        syncing.declare(collection, type="files", paths=["docs"], collection=collection)
        report = await asyncio.to_thread(syncing, collection)
        assert report.embedded == report.chunks
        assert report.contexts == (report.chunks if collection == "with" else 0)
    assert await contextual.wrong_vectors() == 0
    found = contextual.rows(
        "SELECT n.name, count(c.context), count(*) FROM chunk c JOIN collection n ON n.id = c.collection_id "
        "GROUP BY 1 ORDER BY 1"
    )
    assert [(name, having) for name, having, _ in found] == [("with", report.chunks), ("without", 0)]


def test_the_same_document_elsewhere_is_not_asked_for_again(contextual: Contextual) -> None:
    syncing = contextual.syncing
    syncing.write("a.md", f"# The title\n\n{TEXT}")
    for collection in ("one", "two"):
        contextual("--on", collection=collection)
        syncing.declare(collection, type="files", paths=["docs"], collection=collection)
        report = syncing(collection)
        assert (report.contexts, report.embedded) == ((report.chunks, report.chunks) if collection == "one" else (0, 0))
    (syncing.folder / "a.md").rename(syncing.folder / "b.md")
    report = syncing("two")
    assert (report.moved, report.contexts) == (1, 0)
    uris = contextual.rows("SELECT DISTINCT right(source_uri, 4) FROM chunk_context ORDER BY 1")
    assert uris == [("a.md",), ("b.md",)], "of the collection that was not synced, and of the one that was"


def test_what_was_written_goes_with_its_document(contextual: Contextual) -> None:
    syncing = contextual.syncing
    contextual("--on")
    syncing.write("a.md", TEXT)
    syncing.write("b.md", "Bees make honey.")
    syncing()
    syncing.write("a.md", changed(1))
    syncing()
    (syncing.folder / "a.md").unlink()
    assert syncing(prune=True, max_prune_share=1.0).deleted == 1
    assert contextual.rows("SELECT right(source_uri, 4) FROM chunk_context") == [("b.md",)]


def test_a_duplicate_is_not_asked_for_and_inherits(contextual: Contextual) -> None:
    syncing = contextual.syncing
    contextual("--on")
    syncing.write("a.md", TEXT)
    syncing.write("b.md", TEXT.replace("\n\n", "\n\n\n"))
    report = syncing()
    chunks = len(contextual.contexts())
    assert report.contexts == contextual.model.asked == chunks
    syncing.write("c.md", TEXT + "\n\n\n")
    assert syncing().contexts == 0
    (syncing.folder / "a.md").unlink()
    assert syncing(prune=True, max_prune_share=1.0).deleted == 1
    assert contextual.contexts() == ["This is from a."] * chunks
    assert len(syncing.texts()) == chunks
    assert contextual.rows("SELECT DISTINCT right(source_uri, 4) FROM chunk_context") == [("b.md",)]


async def test_a_reply_without_words_is_no_context(contextual: Contextual) -> None:
    contextual.syncing.write("a.md", TEXT)
    await asyncio.to_thread(contextual, "--on")
    contextual.model.silent = True
    report = await asyncio.to_thread(contextual.syncing)
    assert report.contexts == report.empty_contexts == report.chunks
    assert set(contextual.contexts()) == {""}
    assert await contextual.wrong_vectors() == 0
    state = await asyncio.to_thread(contextual)
    assert (state["lacking"], state["empty"]) == (0, report.chunks)
    assert (await asyncio.to_thread(contextual, "--off"))["embedded"] == 0, "they were embedded without one"
    shown = await asyncio.to_thread(contextual.run, "--on", "--yes")
    assert f"{report.chunks} chunks lack a context; no context would be asked of scripted" in shown.stderr
    contextual.syncing.write("b.md", "Bees make honey.")
    path = str(contextual.syncing.folder / "b.md")
    shown = await asyncio.to_thread(CliRunner().invoke, command_line("ingest"), ["ingest", path])
    assert "1 contexts written (1 without words)" in shown.stderr


def test_what_a_provider_refuses_ends_the_ingestion_without_half_documents(contextual: Contextual) -> None:
    syncing = contextual.syncing
    contextual("--on")
    syncing.write("a.md", TEXT)
    contextual.model.fails_at = contextual.model.asked + 4
    with pytest.raises(ProviderUnavailable, match="language model is away"):
        syncing()
    assert contextual.rows("SELECT FROM document") == []
    [(kept,)] = contextual.rows("SELECT count(*) FROM chunk_context")
    report = syncing()
    assert (report.added, report.contexts) == (1, report.chunks - kept)


async def test_reindexing_keeps_contexts(contextual: Contextual) -> None:
    contextual.syncing.write("a.md", TEXT)
    await asyncio.to_thread(contextual, "--on")
    await asyncio.to_thread(contextual.syncing)
    asked, chunks = contextual.model.asked, len(contextual.contexts())
    async with opened_database(contextual.syncing.settings) as database:
        await reindex(database, HashEmbedder(96), CHUNKER)
        assert await contextual.wrong_vectors(2, 96) == 0
        assert contextual.contexts() == ["This is from a."] * chunks
        assert contextual.model.asked == asked

        environment = contextual.syncing.settings.model_copy(update={"embedder_dimensions": 96})
        contextual.syncing.settings = environment
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FOOTNOTE_EMBEDDER_DIMENSIONS", "96")
            refused = await asyncio.to_thread(contextual.run, "--off")
            assert isinstance(refused.exception, ContextsRefused)
            assert "Generation 1 (retired) has vectors of the same chunks" in refused.exception.message
            assert (await asyncio.to_thread(contextual))["on"] is True
            await purge(database, age_s=0)

            # other chunks lack a context until it is asked for
            await reindex(database, HashEmbedder(96), "structure-v2/100")
            state = await asyncio.to_thread(contextual)
            assert (state["on"], state["lacking"]) == (True, state["chunks"])
            assert state["chunks"] > chunks
            done = await asyncio.to_thread(contextual, "--on")
            assert done["done"] == state["chunks"]
            assert done["contexts"] == state["missing"]["contexts"]
            assert chunks < done["contexts"] <= done["done"], "the end of a paragraph may be cut alike"
            assert await contextual.wrong_vectors(3, 96) == 0


async def test_a_chunk_that_got_its_context_meanwhile_waits_for_the_next_pass(contextual: Contextual) -> None:
    contextual.syncing.write("a.md", TEXT)
    await asyncio.to_thread(contextual.syncing)
    async with opened_database(contextual.syncing.settings) as database:
        generation = await active_generation(database)
        assert generation is not None
        building, [(version_id,)] = Building(database, generation), contextual.rows("SELECT id FROM document_version")
        [version] = await building.versions(DEFAULT_WORKSPACE_ID, [version_id])
        stored = (await building.chunks(DEFAULT_WORKSPACE_ID, [version_id], CHUNKER))[version_id]
        ids, chunks = [chunk_id for chunk_id, _ in stored], [chunk for _, chunk in stored]
        vectors = await HashEmbedder().embed_passages([chunk.embedding_text for chunk in chunks])
        contextual.execute("DELETE FROM chunk_embedding; DELETE FROM chunk_lexeme")
        contextual.execute("UPDATE chunk SET context = 'Changed.' WHERE ordinal = 0")
        await building.write(DEFAULT_WORKSPACE_ID, [Filled(version, chunks, ids, vectors)])
        assert contextual.rows("SELECT count(*) FROM chunk_embedding") == [(len(chunks) - 1,)]
        await reindex(database, HashEmbedder(), CHUNKER)
        assert contextual.rows("SELECT count(*) FROM chunk_embedding") == [(len(chunks),)]
        assert await contextual.wrong_vectors() == 0


async def test_an_upload_gets_its_contexts(contextual: Contextual) -> None:
    settings, data = contextual.syncing.settings, TEXT.encode()
    await asyncio.to_thread(contextual, "--on", collection="island")
    assert settings.database_url is not None
    database = Database(settings.database_url.get_secret_value(), pool_size=1)
    await database.open()
    store, ids = JobStore(database, open_queue(database.url)), [new_job_id() for _ in range(2)]
    settings.uploads_dir.mkdir(parents=True)
    for job_id, collection in zip(ids, ("island", "plain"), strict=True):
        (settings.uploads_dir / str(job_id)).write_bytes(data)
        await store.add(DEFAULT_WORKSPACE_ID, job_id, Upload(collection, "lamp.txt", len(data), b"hash"))
    async with open_worker(settings) as worker:
        contextual.model.fails_at = 2
        with pytest.raises(ProviderUnavailable):
            await worker.upload(str(DEFAULT_WORKSPACE_ID), str(ids[0]))
        for job_id in ids:
            await worker.upload(str(DEFAULT_WORKSPACE_ID), str(job_id))
    jobs = [await store.get(DEFAULT_WORKSPACE_ID, job_id) for job_id in ids]
    await database.close()
    assert [job.state for job in jobs] == [JobState.DONE] * 2
    found = contextual.rows(
        "SELECT n.name, count(c.context), count(*) FROM chunk c JOIN collection n ON n.id = c.collection_id "
        "GROUP BY 1 ORDER BY 1"
    )
    assert found == [("island", jobs[0].chunks, jobs[0].chunks), ("plain", 0, jobs[0].chunks)]
    assert await contextual.wrong_vectors() == 0


def test_a_dry_run_tells_what_contexts_would_cost(contextual: Contextual) -> None:
    syncing = contextual.syncing
    assert syncing(dry_run=True).context_cost is None
    contextual("--on")
    syncing.write("a.md", TEXT)
    syncing.write("b.md", TEXT.replace("\n\n", "\n\n\n"))  # a duplicate
    syncing.settings = syncing.settings.model_copy(update={"chat_input_price": 2.0, "chat_output_price": 8.0})
    cost = syncing(dry_run=True).context_cost
    assert cost is not None
    assert cost.cost == pytest.approx((2 * cost.prompt_tokens + 8 * cost.answer_tokens) / 1e6)
    assert contextual.rows("SELECT FROM chunk_context") == []
    assert contextual.model.asked == 0
    report = syncing()
    assert (report.contexts, report.context_cost) == (cost.contexts, None)
    syncing.write("a.md", changed(3))
    planned = syncing(dry_run=True).context_cost
    assert planned is not None
    assert planned.contexts == 1

    (syncing.folder / "broken.pdf").write_bytes(b"%PDF-1.7\nno page")
    shown = CliRunner().invoke(
        command_line("sync"),
        ["sync", "docs", "--dry-run"],
        env={"FOOTNOTE_SOURCES_FILE": str(syncing.settings.sources_file)},
    )
    assert shown.exit_code == 1
    assert "not synced" in shown.stderr
    assert f"1 contexts would be asked of scripted: about {planned.prompt_tokens:,} tokens of prompts" in shown.stderr


def test_the_cost_is_shown_and_agreed_to_before(contextual: Contextual, monkeypatch: pytest.MonkeyPatch) -> None:
    contextual.syncing.write("a.md", TEXT)
    contextual.syncing()
    missing = contextual()["missing"]
    chunks = len(contextual.contexts())
    assert (missing["model"], missing["contexts"], missing["answer_tokens"]) == ("scripted", chunks, 100 * chunks)
    assert missing["cost"] is None
    unpriced = contextual.run().stderr
    assert f"contexts are off; 0 of {chunks} chunks have one, 0 need none, {chunks} lack one" in unpriced
    assert "set FOOTNOTE_CHAT_INPUT_PRICE and FOOTNOTE_CHAT_OUTPUT_PRICE to be told what they cost" in unpriced
    assert "`footnote context default --on` writes them" in unpriced

    monkeypatch.setenv("FOOTNOTE_CHAT_INPUT_PRICE", "1000")
    monkeypatch.setenv("FOOTNOTE_CHAT_OUTPUT_PRICE", "4000")
    cost = (missing["prompt_tokens"] * 1000 + missing["answer_tokens"] * 4000) / 1e6
    refused = contextual.run("--on", input="n\n")
    assert refused.exit_code == 1
    assert (
        f"{chunks} contexts would be asked of scripted: about {missing['prompt_tokens']:,} tokens of prompts and at "
        f"most {missing['answer_tokens']:,} of answers; at most {cost:,.2f} by FOOTNOTE_CHAT_INPUT_PRICE"
    ) in refused.stderr
    assert contextual.model.asked == 0
    assert contextual()["on"] is False

    agreed = contextual.run("--on", input="y\n")
    assert agreed.exit_code == 0
    assert f"contexts are on; {chunks} chunks have theirs, {chunks} of them asked of scripted" in agreed.stderr
    assert ", which cost " in agreed.stderr
    assert "lost theirs" in contextual.run("--off").stderr


def test_what_cannot_be_done_is_said(contextual: Contextual, monkeypatch: pytest.MonkeyPatch) -> None:
    contextual.syncing.write("a.md", TEXT)
    for arguments, fault, says in [
        (["--on", "--off"], InvalidInput, "either --on or --off"),
        (["--on", "--json"], InvalidInput, "--yes"),
        ([], CollectionNotFound, "no collection named 'default'"),
    ]:
        error = contextual.run(*arguments).exception
        assert isinstance(error, fault)
        assert says in error.message
    with monkeypatch.context() as other:
        other.setenv("FOOTNOTE_CHAT_MODEL", "extractive")
        assert isinstance(contextual.run("--on").exception, ConfigurationError)
        assert isinstance(contextual.run().exception, CollectionNotFound)  # what is refused makes none
    contextual("--on")
    contextual.syncing()
    monkeypatch.setenv("FOOTNOTE_CHAT_MODEL", "extractive")
    extractive = contextual.run("--on").exception
    assert isinstance(extractive, ConfigurationError)
    assert "only copies passages" in extractive.message
    assert "contexts cannot be written: `extractive` only copies" in contextual.run().stderr


def test_a_model_that_cannot_be_had_stops_an_ingestion_before_it_starts(
    syncing: Syncing, contextual: Contextual
) -> None:
    contextual("--on")
    syncing.write("a.md", TEXT)
    syncing.settings = syncing.settings.model_copy(update={"chat_model": "extractive"})
    with pytest.raises(ConfigurationError, match="contexts take a language model"):
        syncing()
    assert contextual.rows("SELECT FROM document") == []


async def test_without_contexts_nothing_is_asked_and_no_model_is_made(syncing: Syncing) -> None:
    syncing.write("a.md", TEXT)
    settings = syncing.settings.model_copy(update={"chat_model": "no:such-model"})
    report = await ingest_files(settings, find_files([syncing.folder]), "default", lambda _report: None)
    assert (report.added, report.contexts) == (1, 0)
    with pytest.raises(ConfigurationError):
        async with open_worker(settings) as worker:
            worker._contexts.ready()


async def test_the_schema_goes_back_without_vectors_that_no_longer_fit(contextual: Contextual) -> None:
    contextual.syncing.write("a.md", TEXT)
    await asyncio.to_thread(contextual.syncing)
    plain = contextual.rows("SELECT text_hash FROM chunk ORDER BY ordinal")
    await asyncio.to_thread(contextual, "--on")
    assert contextual.syncing.settings.database_url is not None
    url = contextual.syncing.settings.database_url.get_secret_value()
    migrate(url, "0014")
    assert contextual.rows("SELECT text_hash FROM chunk ORDER BY ordinal") == plain
    assert contextual.rows("SELECT FROM chunk_embedding") == contextual.rows("SELECT FROM chunk_lexeme") == []
    migrate(url)
    async with opened_database(contextual.syncing.settings) as database:
        await reindex(database, HashEmbedder(), CHUNKER)
    assert await contextual.wrong_vectors() == 0
