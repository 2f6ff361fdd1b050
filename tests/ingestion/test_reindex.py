"""Reindexing: a generation is built from the stored texts, verified, takes over, steps back and goes."""

import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from app.domain.errors import ConfigurationError, EmbedderMismatch, GenerationRetired, ReindexRefused
from app.domain.filter_wire import parse_filter
from app.domain.ports import Vectors
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.providers.fakes import HashEmbedder
from app.providers.tokenizer import count_tokens
from app.settings import Settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.exchange import begin_building
from app.storage.generations import active_generation
from app.storage.indexes import EF_CONSTRUCTION
from app.storage.maintenance import maintenance
from app.storage.models import new_id
from app.storage.versions import NewVersion
from app.storage.writers import write_into
from ingestion import verify
from ingestion.chunking.structure import chunk
from ingestion.generations import abandon, purge, rollback, status
from ingestion.loaders.dispatch import load
from ingestion.rechunking import tokens_of
from ingestion.reindex import reindex
from tests.fixtures.reindexing import WORDS, Library, cosine

LIVE, NEW = HashEmbedder(64), HashEmbedder(96)
CHUNKER, SMALLER = "structure-v2/200", "structure-v2/60"


async def test_another_embedder_takes_over_and_the_former_comes_back(library: Library) -> None:
    stages: list[str] = []
    report = await reindex(
        library.database, NEW, CHUNKER, live_embedder=LIVE, progress=lambda at: stages.append(at.stage)
    )
    assert list(dict.fromkeys(stages)) == ["building", "indexing", "verifying", "flipping", "done"]
    assert (report.documents, report.pending, report.written, report.resumed) == (40, 0, 40, False)
    assert report.verification is not None
    assert 0.95 <= (report.verification.recall_at_10 or 0) <= 1
    assert report.verification.problems == []
    assert 0.2 < (report.verification.overlap_at_10 or 0) <= 1
    assert library.generations() == [(1, "retired"), (2, "active")]
    assert library.vectors(1) == library.vectors(2) == report.chunks
    for dimensions in (64, 96):  # a process with the former embedder goes on
        passages = await library.search(dimensions)
        assert len(passages) == 5
        assert passages[0].similarity == pytest.approx(await cosine(dimensions, "storm harbour", passages[0]), abs=2e-3)

    active, missing, seconds = await rollback(library.database)
    assert (active.id, missing, seconds < 1) == (1, 0, True)
    assert library.generations() == [(1, "active"), (2, "retired")]
    active, *_ = await rollback(library.database)
    assert (active.id, library.generations()) == (2, [(1, "retired"), (2, "active")])


async def test_a_narrower_index_of_the_same_kind_is_built_anew(library: Library) -> None:
    definition = library.query("SELECT indexdef FROM pg_indexes WHERE indexname = 'hnsw_1'")[0][0]
    assert f"ef_construction='{EF_CONSTRUCTION}'" in definition
    library.query("DROP INDEX hnsw_1")
    library.query(definition.replace(f"'{EF_CONSTRUCTION}'", "'64'"))
    library.query(definition.replace("hnsw_1 ", "hnsw_1_new "))  # of a run that was cut off
    for renewed in (True, False):
        report = await reindex(library.database, LIVE, CHUNKER)
        assert (report.renewed, report.written, report.verification) == (renewed, 0, None)
        found = library.query("SELECT indexdef FROM pg_indexes WHERE indexname ~ '^hnsw' AND indexdef ~ 'USING hnsw'")
        assert found == [(definition,)]
    assert library.generations() == [(1, "active")]
    assert len(await library.search(64)) == 5


async def test_purging_drops_what_was_retired_long_ago_or_all(library: Library) -> None:
    await reindex(library.database, NEW, SMALLER)
    assert await purge(library.database) == [], "retired a moment ago"
    library.query("UPDATE index_generation SET retired_at = now() - interval '61 minutes' WHERE id = 1")
    assert [one.id for one in await purge(library.database)] == [1]
    assert library.generations() == [(2, "active")]
    indexes = "SELECT indexname FROM pg_indexes WHERE indexname ~ '^(hnsw|lexical)_[0-9]+$' ORDER BY 1"
    assert library.query(indexes) == [("hnsw_2",), ("lexical_2",)]
    for table in ("chunk_embedding", "chunk_lexeme", "lexical_term", "lexical_total"):
        assert library.query(f"SELECT DISTINCT generation_id FROM {table}") == [(2,)]
    assert await library.wrong_statistics(2) == 0
    assert library.query("SELECT DISTINCT chunker FROM chunk") == [(SMALLER,)]
    assert len(await library.search(96)) == 5
    with pytest.raises(EmbedderMismatch, match="footnote reindex"):
        await library.search(64)
    with pytest.raises(ReindexRefused, match="no retired generation"):
        await rollback(library.database)


Cut = tuple[tuple[str, ...], int, int, int]
"""A chunk's headings, start, end and tokens."""


def outline(chunks: Sequence[Cut]) -> tuple[list[tuple[str, ...]], int, int]:
    """The headings in their order, and where the first chunk starts and the last ends."""
    return list(dict.fromkeys(path for path, *_ in chunks)), chunks[0][1], chunks[-1][2]


@pytest.mark.parametrize("structure", ["kept", "of before it was kept"])
async def test_other_chunks_are_those_that_ingestion_would_make(library: Library, structure: str) -> None:
    expected = {}
    for path in library.folder.iterdir():
        document = load(path, path.read_bytes())
        expected[path.as_uri()] = [
            (c.heading_path, c.char_start, c.char_end, c.token_count)
            for c in chunk(document, max_tokens=60, count_tokens=count_tokens)
        ]
        path.unlink()  # the sources are not fetched
    if structure != "kept":
        library.query("UPDATE document_version SET headings = NULL, page_starts = NULL")
    await reindex(library.database, LIVE, SMALLER)
    made: dict[str, list[Cut]] = {}
    for uri, path, *rest in library.query(
        "SELECT o.source_uri, heading_path, char_start, char_end, token_count FROM chunk c "
        "JOIN document o ON o.id = c.document_id WHERE chunker = %s ORDER BY source_uri, ordinal",
        SMALLER,
    ):
        made.setdefault(uri, []).append((tuple(path), *rest))
    if structure == "kept":
        assert made == expected
    else:  # headings are where the present chunks begin, so that single cuts may lie elsewhere
        assert {uri: outline(chunks) for uri, chunks in made.items()} == {
            uri: outline(chunks) for uri, chunks in expected.items()
        }
        expected = made
    page = await DocumentStore(library.database).page(DEFAULT_WORKSPACE_ID, None, limit=100, offset=0)
    assert {one.uri: one.chunks for one in page} == {uri: len(chunks) for uri, chunks in expected.items()}


async def test_a_purge_waits_for_the_documents_being_written(library: Library) -> None:
    await reindex(library.database, NEW, CHUNKER)
    active = await active_generation(library.database)
    assert active is not None
    async with library.database.connection(DEFAULT_WORKSPACE_ID) as connection:
        await write_into(connection, active)
        purging = asyncio.create_task(purge(library.database, age_s=0))
        await asyncio.sleep(0.3)
        assert library.generations() == [(1, "retired"), (2, "active")]
    assert [one.id for one in await purging] == [1]


_INDEXED = """
    SELECT o.source_uri, c.char_start, c.char_end, c.space_after, c.text, l.length, l.config::text,
        e.metadata - '{document_id,collection_id}'::text[], l.metadata - '{document_id,collection_id}'::text[],
        e.metadata = l.metadata
    FROM chunk_embedding e JOIN chunk c ON c.id = e.chunk_id JOIN document o ON o.id = c.document_id
    JOIN collection n ON n.id = c.collection_id
    LEFT JOIN chunk_lexeme l ON l.chunk_id = e.chunk_id AND l.generation_id = e.generation_id
    WHERE e.generation_id = 2 AND n.name = %s ORDER BY 1, 2
"""


@pytest.mark.parametrize("chunker", [CHUNKER, SMALLER])
async def test_the_new_generation_is_what_a_fresh_ingestion_makes(library: Library, chunker: str) -> None:
    """Spaces, metadata and BM25: the same rows, the same statistics, the same scores."""
    library.write(range(3), extra="Zanzibar")
    (library.folder / "german.md").write_text(
        "---\nlanguage: de\ntag: night\n---\n# Häfen\n\nDie Wärter ruderten zu den Leuchttürmen.\n"
    )
    (library.folder / "wordless.md").write_text("---\ntitle: ...\nlanguage: en\n---\n* * *\n")
    await library.ingest()
    library.query("DELETE FROM document WHERE source_uri LIKE '%%/005.md'")
    await library.ingest()
    await reindex(library.database, NEW, chunker)
    assert await library.wrong_statistics(2) == 0

    library.settings = library.settings.model_copy(
        update={"embedder_dimensions": 96, "chunk_tokens": tokens_of(chunker)}
    )
    await library.ingest("fresh")
    fresh = library.query(_INDEXED, "fresh")
    assert library.query(_INDEXED, "default") == fresh
    assert len(fresh) * 2 == library.vectors(2)
    assert {row[6] for row in fresh} == {"english", "german"}
    assert all(row[-1] for row in fresh)
    assert any(row[3] for row in fresh), "space between chunks"
    assert {row[5] for row in fresh if row[0].endswith("wordless.md")} == {0}
    for query in (*WORDS, "Zanzibar storm", "Leuchtturm", "part of document 7"):
        scores = [
            {(p.uri, p.char_start): p.score for p in await library.search(96, query, "lexical", k=900, collection=name)}
            for name in ("default", "fresh")
        ]
        assert scores[0]
        assert scores[0] == pytest.approx(scores[1], rel=1e-9)
    wanted = parse_filter({"tag": "night"})
    for leg in ("lexical", "dense", "hybrid"):
        found = await library.search(96, "Leuchtturm", leg, filter=wanted)  # type: ignore[arg-type]
        assert {passage.title for passage in found} == {"Häfen"}


async def test_wrong_statistics_do_not_take_over(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "LEAST_RECALL", 1.1)
    with pytest.raises(ReindexRefused, match=r"recall@10"):
        await reindex(library.database, NEW, CHUNKER)
    monkeypatch.undo()
    library.query("DELETE FROM lexical_term WHERE ctid = (SELECT min(ctid) FROM lexical_term WHERE generation_id = 2)")
    library.query("UPDATE lexical_total SET length = length + 1 WHERE generation_id = 2")
    with pytest.raises(ReindexRefused, match="2 counts of BM25 are not those of its words"):
        await reindex(library.database, NEW, CHUNKER)
    assert library.generations() == [(1, "active"), (2, "building")]


async def test_documents_of_every_workspace_are_taken(library: Library) -> None:
    other, store = new_id(), DocumentStore(library.database)
    async with library.database.connection(other) as connection:
        await connection.execute("INSERT INTO workspace (id, name) VALUES (%s, 'other')", (other,))
    generation = await active_generation(library.database)
    assert generation is not None
    path = library.folder / "000.md"
    document = load(path, path.read_bytes())
    chunks = chunk(document, max_tokens=200, count_tokens=count_tokens)
    vectors = await LIVE.embed_passages([c.embedding_text for c in chunks])
    version = NewVersion(path.as_uri(), b"hash", document, chunks, vectors, "english")
    await store.write(other, await store.ensure_collection(other, "theirs"), generation, version)
    report = await reindex(library.database, NEW, CHUNKER)
    assert report.documents == 41
    assert library.vectors(2) == library.vectors(1)


async def test_after_a_rollback_the_missing_documents_are_added(library: Library) -> None:
    await reindex(library.database, NEW, CHUNKER)
    library.settings = library.settings.model_copy(update={"embedder_dimensions": 96})
    library.write(range(2), extra="changed")
    library.write(range(40, 43))
    await library.ingest()
    _active, missing, _seconds = await rollback(library.database)
    assert missing == 5
    report = await reindex(library.database, LIVE, CHUNKER)
    assert (report.generation, report.written, report.pending, report.verification) == (1, 5, 0, None)
    assert library.generations() == [(1, "active"), (2, "retired")]
    assert library.vectors(1) == library.vectors(2)


async def test_what_fails_verification_does_not_take_over_unless_forced(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "LEAST_RECALL", 1.1)
    with pytest.raises(ReindexRefused, match=r"recall@10 of its HNSW index is \d\.\d+.*--force.*--abandon"):
        await reindex(library.database, NEW, CHUNKER)
    assert library.generations() == [(1, "active"), (2, "building")]
    report = await reindex(library.database, NEW, CHUNKER, force=True)
    assert (report.resumed, report.written) == (True, 0)
    assert library.generations() == [(1, "retired"), (2, "active")]


class FailingEmbedder(HashEmbedder):
    """Fails at its third batch, as a provider may."""

    calls = 0

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        self.calls += 1
        if self.calls == 2:
            raise ConnectionError("the provider is away")
        return await super().embed_passages(texts)


async def test_an_unfinished_one_bars_others_until_it_is_abandoned(library: Library) -> None:
    with pytest.raises(ReindexRefused, match="unfinished"):
        await abandon(library.database)
    with pytest.raises(ConnectionError):
        await reindex(library.database, FailingEmbedder(32), SMALLER)
    found = (await status(library.database)).generations[1]
    assert found.overview.state == "building"
    assert 0 < found.progress.pending < found.progress.documents
    with pytest.raises(ReindexRefused, match=r"32 dimensions.*unfinished.*--status.*--abandon"):
        await reindex(library.database, NEW, SMALLER)
    assert [one.id for one in await abandon(library.database)] == [2]
    assert library.generations() == [(1, "active")]
    assert library.query("SELECT DISTINCT chunker FROM chunk") == [(CHUNKER,)]
    await reindex(library.database, NEW, SMALLER)


async def test_one_builder_at_a_time(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.storage.maintenance._LOCK_WAIT_S", 0.2)
    assert not (await status(library.database)).builder_at_work
    async with maintenance(library.database):
        assert (await status(library.database)).builder_at_work
        with pytest.raises(ReindexRefused, match=r"Another .* at work"):
            await reindex(library.database, NEW, CHUNKER)
        with pytest.raises(ReindexRefused, match="at work"):
            await purge(library.database)


async def test_nothing_to_build_from(settings: Settings) -> None:
    assert settings.database_url is not None
    database = Database(settings.database_url.get_secret_value())
    await database.open()
    try:
        with pytest.raises(ReindexRefused, match="footnote ingest"):
            await reindex(database, NEW, CHUNKER)
    finally:
        await database.close()


async def test_a_writer_of_the_former_generation_is_told(library: Library) -> None:
    former = await active_generation(library.database)
    assert former is not None
    await reindex(library.database, NEW, CHUNKER)
    path = library.folder / "000.md"
    document = load(path, path.read_bytes())
    store = DocumentStore(library.database)
    collection = (await store.collection_ids(DEFAULT_WORKSPACE_ID))["default"]
    chunks = chunk(document, max_tokens=200, count_tokens=count_tokens)
    vectors = await LIVE.embed_passages([c.embedding_text for c in chunks])
    with pytest.raises(GenerationRetired, match="run the same command again"):
        await store.write(
            DEFAULT_WORKSPACE_ID,
            collection,
            former,
            NewVersion(path.as_uri(), b"other", document, chunks, vectors, "english"),
        )
    with pytest.raises(EmbedderMismatch, match="footnote reindex"):
        await library.ingest()


async def test_never_two_active_ones(library: Library) -> None:
    await begin_building(library.database, embedder="x", dimensions=8, chunker=CHUNKER)
    with pytest.raises(psycopg.errors.ExclusionViolation):
        library.query("UPDATE index_generation SET state = 'active'")


@pytest.mark.parametrize("chunker", ["structure-v2", "structure-v2/31", "structure-v2/2001", "words-v1/200"])
def test_chunkers_that_there_are_not(chunker: str) -> None:
    with pytest.raises(ConfigurationError, match="structure-v2/32 to structure-v2/2000"):
        tokens_of(chunker)
