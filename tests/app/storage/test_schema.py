"""The schema: migrations up and down, models and migrations agree, row-level security holds."""

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, make_url

from app.domain.errors import ConfigurationError, DatabaseUnavailable, SchemaOutdated
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.engine import Database, libpq_url
from app.storage.models import Base, new_id
from app.storage.revision import HEAD, require_current
from app.storage.schema import migrate
from tests.fixtures.services import with_database

BEFORE = """
WITH c AS (INSERT INTO collection (id, workspace_id, name) VALUES (%(collection)s, %(workspace)s, 'c')),
d AS (
    INSERT INTO document (id, workspace_id, collection_id, source_uri, content_hash, title, media_type)
    VALUES (%(document)s, %(workspace)s, %(collection)s, 'uri', '', 'Title', 'text/plain')
),
v AS (
    INSERT INTO document_version (id, workspace_id, document_id, content_hash, title, media_type, text,
        text_search_config)
    VALUES (%(version)s, %(workspace)s, %(document)s, '', 'Title', 'text/plain', '', 'english')
)
INSERT INTO index_generation (embedder, dimensions, chunker, state) VALUES ('e', 2, 'c', 'active')
"""
CHUNK = """
WITH stored AS (
    INSERT INTO chunk (id, workspace_id, collection_id, document_id, document_version_id, chunker, ordinal,
        heading_path, char_start, char_end, token_count, text, text_hash)
    VALUES (%(id)s, %(workspace)s, %(collection)s, %(document)s, %(version)s, 'c', %(ordinal)s,
        '{}', 0, 1, 1, %(text)s, gen_random_uuid())
)
INSERT INTO chunk_lexeme (chunk_id, generation_id, collection_id, config, length, terms, impacts)
SELECT %(id)s, g.id, %(collection)s, 'english', r.length, r.terms, r.impacts
FROM index_generation g, lexical_row(%(collection)s, 'english', %(text)s) r
"""
VECTORS = """
UPDATE chunk_lexeme SET metadata = filter_form(jsonb_build_object('year', 2020, 'collection_id', collection_id));
INSERT INTO chunk_embedding (chunk_id, generation_id, collection_id, embedding, metadata)
SELECT chunk_id, generation_id, collection_id, '[1, 0]', metadata FROM chunk_lexeme;
"""


def test_migrates_up_down_and_up_again(new_database: Callable[[str | None], str]) -> None:
    url = new_database(None)
    assert migrate(url) == (None, HEAD)
    assert migrate(url) == (HEAD, HEAD)
    assert migrate(url, "base") == (HEAD, None)
    with psycopg.connect(url) as connection:
        left = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert left == [("alembic_version",)]
    assert migrate(url) == (None, HEAD)


def test_words_beside_marks_are_read_anew(new_database: Callable[[str | None], str]) -> None:
    url = new_database(None)
    migrate(url, "0017")
    ids = {name: new_id() for name in ("collection", "document", "version", "ascii", "marks")}
    values = ids | {"workspace": DEFAULT_WORKSPACE_ID}
    text = {"ascii": "plain words of it", "marks": "“plain” words—of it"}
    with psycopg.connect(url) as connection:
        connection.execute(f"SELECT set_config('footnote.workspace_id', '{DEFAULT_WORKSPACE_ID}', false)")
        connection.execute(BEFORE, values)
        for name, words in text.items():
            connection.execute(CHUNK, {**values, "id": ids[name], "text": words, "ordinal": len(words)})
    assert terms_of(url, ids["ascii"]) != terms_of(url, ids["marks"])
    migrate(url)
    assert terms_of(url, ids["ascii"]) == terms_of(url, ids["marks"])
    with psycopg.connect(url) as connection:
        counts = connection.execute("SELECT sum(chunks) FROM lexical_term GROUP BY term HAVING sum(chunks) <> 0")
        assert {count for (count,) in counts} == {2}
    migrate(url, "0017")
    assert terms_of(url, ids["ascii"]) != terms_of(url, ids["marks"])


def test_counts_of_batches_are_added_up_on_the_way_back(new_database: Callable[[str | None], str]) -> None:
    url = new_database(None)
    migrate(url)
    values = {name: new_id() for name in ("collection", "document", "version")} | {"workspace": DEFAULT_WORKSPACE_ID}
    with psycopg.connect(url) as connection:
        connection.execute(f"SELECT set_config('footnote.workspace_id', '{DEFAULT_WORKSPACE_ID}', false)")
        connection.execute(BEFORE, values)
        for n in range(40):
            connection.execute(CHUNK, {**values, "id": new_id(), "text": f"ferry number {n}", "ordinal": n})
        connection.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM chunk_lexeme")
        connection.execute("DELETE FROM chunk_lexeme")
        connection.execute("INSERT INTO chunk_lexeme SELECT * FROM kept LIMIT 35")
        counts = connection.execute("SELECT sum(array_length(terms, 1)) FROM lexical_batch").fetchall()
        assert counts != [(None,)]
    migrate(url, "0018")
    with psycopg.connect(url) as connection:
        counts = connection.execute("SELECT sum(chunks) FROM lexical_term GROUP BY term ORDER BY 1 DESC").fetchall()
        assert counts[:2] == [(35,), (35,)], "ferry and number"
        assert sum(count for (count,) in counts) == len(
            connection.execute("SELECT unnest(terms) FROM chunk_lexeme").fetchall()
        )


def test_documents_come_along_from_every_revision(new_database: Callable[[str | None], str]) -> None:
    url = new_database(None)
    migrate(url)
    values = {name: new_id() for name in ("collection", "document", "version")} | {"workspace": DEFAULT_WORKSPACE_ID}
    with psycopg.connect(url) as connection:
        connection.execute(f"SELECT set_config('footnote.workspace_id', '{DEFAULT_WORKSPACE_ID}', false)")
        connection.execute(BEFORE, values)
        connection.execute(CHUNK, {**values, "id": new_id(), "text": "the ferry leaves", "ordinal": 0})
        connection.execute(VECTORS)
    wanted = metadata_of(url)
    for revision in ("0018", "0016", "0012", "0005", "0004", "0003"):
        migrate(url, revision)
        assert migrate(url) == (revision, HEAD)
        assert metadata_of(url) == wanted


def metadata_of(url: str) -> list[object]:
    """What filters see of every chunk."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT metadata FROM chunk_embedding UNION ALL SELECT metadata FROM chunk_lexeme")
        return [metadata for (metadata,) in found]


def terms_of(url: str, chunk_id: UUID) -> list[int]:
    """The terms of a chunk."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT terms FROM chunk_lexeme WHERE chunk_id = %s", [chunk_id]).fetchone()
    assert found is not None
    return sorted(found[0])


def test_models_and_migrations_describe_the_same_tables(database_url: str) -> None:
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert differences == []


def test_vectors_are_stored_inline(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        storage = connection.execute(
            "SELECT attstorage FROM pg_attribute WHERE attrelid = 'chunk_embedding'::regclass AND attname = 'embedding'"
        ).fetchone()
    assert storage == (b"p",) or storage == ("p",)


def test_row_level_security_on_every_table_with_readable_data(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        secured = connection.execute(
            "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity ORDER BY 1"
        ).fetchall()
        bypass = connection.execute(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    tables = {name for (name,) in secured}
    assert tables == {
        "workspace",
        "collection",
        "document",
        "document_version",
        "chunk",
        "chunk_context",
        "metadata_field",
        "conversation",
        "message",
        "job",
        "scheduled_sync",
        "feedback",
    }
    assert bypass == (False,), "the tests' role must be one that policies apply to"


def test_a_workspace_sees_and_writes_its_own_rows_only(database_url: str) -> None:
    def enter(connection: psycopg.Connection, workspace_id: UUID) -> None:
        connection.execute("SELECT set_config('footnote.workspace_id', %s, false)", (str(workspace_id),))

    other = new_id()
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM workspace").fetchone() == (0,), "no workspace set: nothing"
        enter(connection, other)
        connection.execute("INSERT INTO workspace (id, name) VALUES (%s, 'other')", (other,))
        connection.execute(
            "INSERT INTO collection (id, workspace_id, name) VALUES (%s, %s, 'secret')", (new_id(), other)
        )
        enter(connection, DEFAULT_WORKSPACE_ID)
        assert connection.execute("SELECT count(*) FROM collection").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "INSERT INTO collection (id, workspace_id, name) VALUES (%s, %s, 'mine')", (new_id(), other)
            )
        assert connection.execute("DELETE FROM collection").rowcount == 0
        enter(connection, other)
        assert connection.execute("SELECT name FROM collection").fetchall() == [("secret",)]


async def required(url: str) -> None:
    database = Database(url)
    try:
        await require_current(database)
    finally:
        await database.close()


async def test_an_empty_database_is_named_outdated(new_database: Callable[[str | None], str]) -> None:
    with pytest.raises(SchemaOutdated, match="footnote migrate"):
        await required(new_database(None))


async def test_a_schema_of_a_newer_version_is_left_alone(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9001'")
    with pytest.raises(SchemaOutdated, match="newer version"):
        migrate(database_url)
    with pytest.raises(SchemaOutdated, match="newer version"):
        await required(database_url)


async def test_a_role_without_rights_is_not_sent_to_migrate(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("REVOKE SELECT ON alembic_version FROM CURRENT_USER")
    with pytest.raises(ConfigurationError, match="permission denied for table alembic_version") as refused:
        await required(database_url)
    assert "footnote migrate" not in refused.value.message


def test_a_database_that_cannot_hold_every_text(new_database: Callable[[str | None], str]) -> None:
    url = new_database(None)
    name = url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(with_database(url, "postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name}")
        connection.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(ConfigurationError, match="SQL_ASCII, Footnote needs UTF8"):
        migrate(url)


def test_a_server_that_is_not_there(tmp_path: object) -> None:
    with pytest.raises(DatabaseUnavailable, match="not reachable") as failed:
        migrate("postgresql://nobody@127.0.0.1:1/nothing")
    assert "127.0.0.1" not in failed.value.message, "clients are not told"
    assert 'server at "127.0.0.1", port 1 failed' in failed.value.for_operators


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u@/d?host=/s", "postgresql://u@/d?host=/s"),
    ],
)
def test_database_urls_of_every_spelling(given: str, wanted: str) -> None:
    assert libpq_url(given) == wanted


@pytest.mark.parametrize("url", ["mysql://u@h/d", "just text", ""])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://"):
        libpq_url(url)
