"""Documents written together: the same state as one by one, duplicates and other writers included."""

import asyncio
from uuid import UUID, uuid4

import psycopg
import pytest

from app.domain.document import Chunk, ParsedDocument
from app.domain.errors import GenerationRetired
from app.domain.principal import DEFAULT_WORKSPACE_ID as WORKSPACE
from app.storage.versions import NewVersion
from tests.app.storage.conftest import EMBEDDER, Store

KEYS = [UUID(int=n + 1) for n in range(4)]


async def version(
    uri: str, *texts: str, key: UUID | None = None, moved_from: str | None = None, **metadata: object
) -> NewVersion:
    return NewVersion(
        uri=uri,
        content_hash=" ".join(texts).encode(),
        document=ParsedDocument("\n\n".join(texts), f"Title of {uri}", "text/plain", metadata=metadata),
        chunks=[Chunk(n, (), 0, len(text), None, len(text.split()), text) for n, text in enumerate(texts)],
        vectors=await EMBEDDER.embed_passages(list(texts)),
        text_search_config="english",
        moved_from=moved_from,
        text_key=key,
    )


async def state(store: Store) -> list[tuple[object, ...]]:
    """What is stored, by URI: its chunks with the words and what filters see, and whose duplicate it is."""
    async with store.database.connection(WORKSPACE) as connection:
        cursor = await connection.execute(
            """
            SELECT d.source_uri, d.title, o.source_uri, v.text, c.ordinal, c.text, l.length,
                e.metadata - 'document_id', e.embedding::text
            FROM document d LEFT JOIN document o ON o.id = d.duplicate_of
            LEFT JOIN document_version v ON v.document_id = d.id AND v.valid_to IS NULL
            LEFT JOIN chunk c ON c.document_version_id = v.id LEFT JOIN chunk_lexeme l ON l.chunk_id = c.id
            LEFT JOIN chunk_embedding e ON e.chunk_id = c.id
            WHERE d.collection_id = %s ORDER BY d.source_uri, c.ordinal
            """,
            (store.collections["one"],),
        )
        return await cursor.fetchall()


async def clear(store: Store) -> None:
    async with store.database.connection(WORKSPACE) as connection:
        await connection.execute("UPDATE document SET duplicate_of = NULL")
        await connection.execute("DELETE FROM document")


async def test_together_is_as_one_by_one(store: Store) -> None:
    one = store.collections["one"]
    versions = [
        await version("b", "The ferry leaves.", "The lamp is lit.", team="harbour"),
        await version("a", "Bread from the oven.", key=KEYS[0], year=1990),
        await version("c", "Bread from the oven.", key=KEYS[0]),
        await version("e"),
        await version("d", "The tide is out.", key=KEYS[1]),
    ]
    for new in versions:
        await store.documents.write(WORKSPACE, one, store.generation, new)
    alone = await state(store)
    await clear(store)
    await store.documents.write_all(WORKSPACE, one, store.generation, versions)
    assert await state(store) == alone
    assert [(row[0], row[2]) for row in alone] == [
        ("a", None),
        ("b", None),
        ("b", None),
        ("c", "a"),
        ("d", None),
        ("e", None),
    ]
    assert [p.uri for p in await store.search("ferry")] == ["b"]


async def test_what_is_there_already_is_replaced_or_moved(store: Store) -> None:
    one = store.collections["one"]
    before = [await version("a", "Old words of a."), await version("b", "Words of b.", key=KEYS[2])]
    await store.documents.write_all(WORKSPACE, one, store.generation, before)
    after = [
        await version("a", "New words of a."),
        await version("z", "Words of b.", key=KEYS[2], moved_from="b"),
        await version("n", "Words of n."),
        await version("o", "Words of b.", key=KEYS[2]),
    ]
    await store.documents.write_all(WORKSPACE, one, store.generation, after)
    found = [(row[0], row[2], row[3]) for row in await state(store)]
    assert ("a", None, "New words of a.") in found
    assert ("n", None, "Words of n.") in found
    assert len(found) == 4
    assert sorted((uri, original) for uri, original, _ in found if original) in ([("o", "z")], [("z", "o")])


async def test_writers_of_the_same_documents_leave_each_once(store: Store) -> None:
    one = store.collections["one"]
    batches = [
        [await version(f"{n}", f"Words of {n % 9}.", key=KEYS[n % 4]) for n in order]
        for order in (range(20), range(19, -1, -1), range(5, 15))
    ]
    await asyncio.gather(*(store.documents.write_all(WORKSPACE, one, store.generation, batch) for batch in batches))
    stored = await state(store)
    assert sorted(row[0] for row in stored) == sorted(f"{n}" for n in range(20))
    originals = [row for row in stored if row[2] is None]
    assert len(originals) == len({row[0] for row in stored if row[2] is None}) == 4
    assert all(row[5] is not None for row in originals)


async def test_a_batch_is_there_as_a_whole_or_not_at_all(store: Store) -> None:
    good = await version("a", "Good words.")
    bad = await version("b", "Bad words.")
    bad = NewVersion(**{**{name: getattr(bad, name) for name in bad.__slots__}, "text_search_config": "no_such"})
    with pytest.raises(psycopg.errors.UndefinedObject):
        await store.documents.write_all(WORKSPACE, store.collections["one"], store.generation, [good, bad])
    assert await state(store) == []


async def test_a_retired_generation_takes_nothing(store: Store) -> None:
    retired = type(store.generation)(store.generation.id + 1, "x", 16, "whole", "retired")
    versions = [await version(str(uuid4()), "Words.") for _ in range(2)]
    with pytest.raises(GenerationRetired):
        await store.documents.write_all(WORKSPACE, store.collections["one"], retired, versions)
    assert await state(store) == []
