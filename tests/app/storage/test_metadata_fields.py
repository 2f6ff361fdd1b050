"""Metadata fields: remembered on each write, per workspace; what passed once is not read again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import date
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from app.domain.document import Chunk
from app.domain.errors import InvalidFilter
from app.domain.filter_fields import filterable
from app.domain.filter_wire import parse_filter
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.engine import Database
from app.storage.filters import FILTERABLE, filter_form
from app.storage.metadata_fields import MetadataFields, remember_fields
from app.storage.models import new_id
from app.storage.schema import migrate

FIRST: dict[str, object] = {"lang": "en", "tag": ["a", 1], "day": date(2026, 1, 2), "empty": [], "$odd": 1}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.open()
    yield database
    await database.close()


async def remember(database: Database, *documents: dict[str, object], workspace: UUID = DEFAULT_WORKSPACE_ID) -> None:
    async with database.connection(workspace) as connection:
        for metadata in documents:
            await remember_fields(connection, workspace, [metadata])


async def known(database: Database, workspace: UUID = DEFAULT_WORKSPACE_ID) -> dict[str, set[str]]:
    async with database.connection(workspace) as connection:
        rows = await (await connection.execute("SELECT name, kinds FROM metadata_field")).fetchall()
    return {name: set(kinds) for name, kinds in rows}


async def test_fields_gather_the_types_that_they_have_held(database: Database) -> None:
    await remember(database, FIRST, {})
    fields = {"lang": {"string"}, "tag": {"string", "number"}, "day": {"string"}, "empty": set()}
    assert await known(database) == fields
    await remember(database, {"lang": None, "empty": [True]}, {"tag": [["x"], {}], "lang": "de"})
    assert await known(database) == {
        "lang": {"string", "null"},
        "tag": {"string", "number", "array", "object"},
        "day": {"string"},
        "empty": {"boolean"},
    }


async def test_nothing_is_written_when_nothing_is_new(database: Database) -> None:
    await remember(database, FIRST)
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        for metadata in (FIRST, {"tag": "b"}, {"lang": "fr", "tag": 3.5}):
            await remember_fields(connection, DEFAULT_WORKSPACE_ID, [metadata])
        cursor = await connection.execute("SELECT pg_current_xact_id_if_assigned()")
        assert await cursor.fetchone() == (None,), "a transaction that wrote would have an id"


async def test_another_workspace_sees_none_of_it(database: Database) -> None:
    other = new_id()
    async with database.connection(other) as connection:
        await connection.execute("INSERT INTO workspace (id, name) VALUES (%s, 'other')", (other,))
    await remember(database, FIRST)
    await remember(database, {"secret": 1}, workspace=other)
    assert (await known(database)).keys() == {"lang", "tag", "day", "empty"}
    assert await known(database, other) == {"secret": {"number"}}
    fields = MetadataFields(database)
    await fields.require(other, parse_filter({"secret": 1}))
    with pytest.raises(InvalidFilter, match="no document has a field 'secret'"):
        await fields.require(DEFAULT_WORKSPACE_ID, parse_filter({"secret": 1}))


async def test_two_writers_with_the_same_new_fields(database: Database) -> None:
    async def write(number: int) -> None:
        for step in range(5):
            names = [f"f{step}_{n}" for n in range(20)]
            value = "x" if number % 2 else 1
            await remember(database, dict.fromkeys(names[::-1] if number % 2 else names, value))

    await asyncio.gather(*map(write, range(6)))
    assert await known(database) == {f"f{step}_{n}": {"string", "number"} for step in range(5) for n in range(20)}


async def test_a_new_field_is_found_at_once_and_a_known_one_without_reading(database: Database) -> None:
    fields = MetadataFields(database)
    await fields.require(DEFAULT_WORKSPACE_ID, None)
    with pytest.raises(InvalidFilter):
        await fields.require(DEFAULT_WORKSPACE_ID, parse_filter({"lang": "en"}))
    await remember(database, {"lang": "en"})
    await fields.require(DEFAULT_WORKSPACE_ID, parse_filter({"lang": "en"}))
    await database.close()
    await fields.require(DEFAULT_WORKSPACE_ID, parse_filter({"lang": "de", "title": "x"}))


def test_the_migration_learns_the_fields_of_stored_documents(new_database: Callable[[str | None], str]) -> None:
    url = new_database(None)
    migrate(url, "0001")
    stored: list[dict[str, Any]] = [{"lang": "en", "tag": ["a", 1], "$odd": 1}, {"lang": None, "empty": [], "o": {}}]
    with psycopg.connect(url) as connection:
        connection.execute("SELECT set_config('footnote.workspace_id', %s, false)", (str(DEFAULT_WORKSPACE_ID),))
        for metadata in stored:
            store(connection, metadata, hashed=False)
    migrate(url)
    with psycopg.connect(url) as connection:
        query = "SELECT name, kinds FROM metadata_field ORDER BY name"
        assert connection.execute(query).fetchall() == [], "no workspace set: nothing"
        connection.execute("SELECT set_config('footnote.workspace_id', %s, false)", (str(DEFAULT_WORKSPACE_ID),))
        assert connection.execute(query).fetchall() == [
            ("empty", []),
            ("lang", ["null", "string"]),
            ("o", ["object"]),
            ("tag", ["number", "string"]),
        ]
        connection.execute("SELECT set_config('footnote.workspace_id', '', false)")
        assert connection.execute("SELECT count(*) FROM document_version").fetchone() == (0,), "secured as before"
        connection.execute("SELECT set_config('footnote.workspace_id', %s, false)", (str(DEFAULT_WORKSPACE_ID),))
        hashes = connection.execute("SELECT DISTINCT text_hash FROM chunk").fetchall()
        assert hashes == [(Chunk(0, (), 0, 4, None, 1, "text").text_hash,)]


def store(
    connection: psycopg.Connection[Any], metadata: dict[str, Any], page: int | None = None, *, hashed: bool = True
) -> tuple[UUID, UUID]:
    """A document with one chunk, as rows; returns the ids of its collection and of itself.

    `hashed`: chunks have the hash of their text, which they had not always.
    """
    workspace, collection, document, version = DEFAULT_WORKSPACE_ID, new_id(), new_id(), new_id()
    connection.execute(
        "INSERT INTO collection (id, workspace_id, name) VALUES (%s, %s, %s)", (collection, workspace, str(collection))
    )
    connection.execute(
        """INSERT INTO document (id, workspace_id, collection_id, source_uri, content_hash, title, media_type)
        VALUES (%s, %s, %s, 'file:a.md', '', 'A', 'text/markdown')""",
        (document, workspace, collection),
    )
    connection.execute(
        """INSERT INTO document_version (id, workspace_id, document_id, content_hash, title, media_type, text, metadata,
        text_search_config) VALUES (%s, %s, %s, '', 'A', 'text/markdown', 'text', %s, 'simple')""",
        (version, workspace, document, Jsonb(metadata)),
    )
    connection.execute(
        f"""INSERT INTO chunk (id, workspace_id, collection_id, document_id, document_version_id, chunker, ordinal,
        heading_path, char_start, char_end, page, token_count, text{", text_hash" if hashed else ""})
        VALUES (%s, %s, %s, %s, %s, 'c', 0, '{{}}', 0, 4, %s, 1, 'text'{", %s" if hashed else ""})""",
        (new_id(), workspace, collection, document, version, page, *([new_id()] if hashed else [])),
    )
    return collection, document


@pytest.mark.parametrize("page", [None, 3])
def test_sql_and_the_domain_agree_on_what_is_filterable(database_url: str, page: int | None) -> None:
    metadata = {"lang": "en", "title": "mine", "page": "mine", "gone": None, "o": {"a": None}}
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT set_config('footnote.workspace_id', %s, false)", (str(DEFAULT_WORKSPACE_ID),))
        collection, document = store(connection, metadata, page)
        query = sql.SQL(
            "SELECT {} FROM chunk c JOIN document_version v ON v.id = c.document_version_id "
            "JOIN document o ON o.id = c.document_id"
        ).format(FILTERABLE)
        found = connection.execute(query).fetchall()
    wanted = filterable(
        metadata,
        collection_id=str(collection),
        document_id=str(document),
        source_uri="file:a.md",
        title="A",
        media_type="text/markdown",
        page=page,
    )
    assert found == [(filter_form(wanted),)]
