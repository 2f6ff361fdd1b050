"""First loads: the search indexes go and are built at the end, unless another process sees to them."""

import asyncio

import psycopg
import pytest

from app.domain.principal import DEFAULT_WORKSPACE_ID as WORKSPACE
from app.storage import first_load
from app.storage.first_load import FirstLoad
from app.storage.indexes import build_indexes, build_memory_mb, drop_indexes, lacks_indexes
from app.storage.maintenance import maintenance
from tests.app.storage.conftest import Store


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_load, "MANY_DOCUMENTS", 3)
    monkeypatch.setattr(first_load, "MANY_CHUNKS", 4)


async def complete(store: Store) -> bool:
    async with store.database.connection(WORKSPACE) as connection:
        return not await lacks_indexes(connection, store.generation)


WAITS = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"


async def test_many_documents_for_an_empty_index(store: Store) -> None:
    async with FirstLoad(store.database, store.generation) as load:
        await load.begin(3)
        assert not await complete(store)
        for n in range(5):
            await store.write(f"{n}", f"The ferry number {n}.")
            await load.wrote(1)
        assert len(await store.search("ferry", k=10)) == 5
        assert len(await store.search("ferry", "dense", k=10)) == 5
        await load.finish()
        assert await complete(store)
    assert len(await store.search("ferry", k=10)) == 5
    assert len(await store.search("ferry", "dense", k=10)) == 5


async def test_few_documents_that_turn_out_long(store: Store) -> None:
    await store.write("there", "A bridge.")
    async with FirstLoad(store.database, store.generation) as load:
        await load.begin(100)
        await load.wrote(3)
        assert await complete(store), "few so far"
        await load.wrote(1)
        assert not await complete(store)
        await load.finish()
        assert await complete(store)


async def test_a_large_index_stays_as_it_is(store: Store) -> None:
    for n in range(4):
        await store.write(f"{n}", f"The ferry number {n}.")
    async with FirstLoad(store.database, store.generation) as load:
        await load.begin(1000)
        await load.wrote(1000)
        assert await complete(store)
        await load.finish()


async def test_what_a_killed_load_left_is_built_by_the_next(store: Store) -> None:
    async with FirstLoad(store.database, store.generation) as killed:
        await killed.begin(3)
    assert not await complete(store)
    await store.write("a", "The ferry.")
    async with FirstLoad(store.database, store.generation) as load:
        await load.begin(1)
        await load.finish()
    assert await complete(store)


async def test_the_indexes_are_left_to_the_process_that_is_at_them(store: Store) -> None:
    async with maintenance(store.database) as alone:
        async with FirstLoad(store.database, store.generation) as load:
            await load.begin(3)
            assert await complete(store)
            await drop_indexes(alone, store.generation)
            await load.finish()
        assert not await complete(store)


async def test_an_index_cut_off_in_its_build_is_built_again(store: Store, database_url: str) -> None:
    async with maintenance(store.database) as alone:
        await drop_indexes(alone, store.generation)
        await alone.execute("SET statement_timeout = '1s'")
        with psycopg.connect(database_url) as writer, psycopg.connect(database_url, autocommit=True) as operator:
            writer.execute("LOCK chunk_embedding IN ROW EXCLUSIVE MODE")  # the build waits for it to end
            build = asyncio.create_task(build_indexes(alone, store.generation))
            while not operator.execute(WAITS, (alone.info.backend_pid,)).fetchone():
                await asyncio.sleep(0.01)
            operator.execute("SELECT pg_cancel_backend(%s)", (alone.info.backend_pid,))
            with pytest.raises(psycopg.errors.QueryCanceled, match="user request"):
                await build
        row = await (await alone.execute("SHOW statement_timeout")).fetchone()
        assert row == ("0",)  # a build may take as long as it does
    assert not await complete(store)
    async with FirstLoad(store.database, store.generation) as load:
        await load.begin(1)
        await load.finish()
    assert await complete(store)


def test_a_graph_gets_the_memory_that_it_needs_within_what_the_server_allows() -> None:
    assert build_memory_mb(1_000, 384) == 64
    assert build_memory_mb(1_000_000, 384) == 1525
    assert build_memory_mb(10_000_000, 384) == 2048
    assert build_memory_mb(10_000_000, 384, most_mb=20_000) == 15258
