"""Ingestion's writer: transactions side by side, in order where it decides something."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from app.domain.errors import GenerationRetired
from app.domain.principal import DEFAULT_WORKSPACE_ID as WORKSPACE
from app.storage.documents import DocumentStore
from app.storage.first_load import FirstLoad
from app.storage.versions import NewVersion
from ingestion.writing import WRITERS, Writing
from tests.app.storage.conftest import Store
from tests.app.storage.test_additions import state, version

KEY = UUID(int=7)
SOON_S = 0.2


class Held(DocumentStore):
    """Writes a document of a URI in `gates` only once its gate is open; `at_once` is the most at a time."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.database)
        self.gates: dict[str, asyncio.Event] = {}
        self.begun: list[str] = []
        self.at_work = self.at_once = 0

    async def write_all(self, *to: Any) -> None:
        versions: Sequence[NewVersion] = to[-1]
        self.begun.append(versions[0].uri)
        self.at_work += 1
        self.at_once = max(self.at_once, self.at_work)
        if gate := self.gates.get(versions[0].uri):
            await gate.wait()
        await super().write_all(*to)
        self.at_work -= 1


@pytest.fixture
def held(store: Store) -> Held:
    return Held(store)


@asynccontextmanager
async def writing_to(store: Store, held: Held) -> AsyncIterator[Writing]:
    async with FirstLoad(store.database, store.generation) as load, asyncio.TaskGroup() as tasks:
        yield Writing(tasks, held, load, WORKSPACE, store.collections["one"], store.generation)


async def write(writing: Writing, *versions: NewVersion, alone: bool = False) -> None:
    await writing.room()
    await writing.begin(versions, alone=alone)


async def test_two_are_written_side_by_side_and_a_third_waits(store: Store, held: Held) -> None:
    held.gates = {"a": asyncio.Event(), "b": asyncio.Event()}
    async with writing_to(store, held) as writing:
        for uri in "ab":
            await write(writing, await version(uri, f"Words of {uri}."))
        third = asyncio.create_task(write(writing, await version("c", "Words of c.")))
        await asyncio.sleep(SOON_S)
        assert held.begun == ["a", "b"]
        held.gates["b"].set()
        await third
        await asyncio.sleep(SOON_S)
        assert [row[0] for row in await state(store)] == ["b", "c"]
        held.gates["a"].set()
    assert [row[0] for row in await state(store)] == ["a", "b", "c"]
    assert held.at_once == WRITERS


async def test_of_documents_with_one_text_the_first_is_the_original(store: Store, held: Held) -> None:
    held.gates = {"z": asyncio.Event()}
    async with writing_to(store, held) as writing:
        await write(writing, await version("z", "The same words.", key=KEY))
        second = asyncio.create_task(write(writing, await version("a", "The same words.", key=KEY)))
        await asyncio.sleep(SOON_S)
        assert held.begun == ["z"]
        held.gates["z"].set()
        await second
    assert [(row[0], row[2]) for row in await state(store)] == [("a", "z"), ("z", None)]


async def test_what_changed_is_written_after_all_before_it_and_before_all_after_it(store: Store, held: Held) -> None:
    held.gates = {"a": asyncio.Event(), "b": asyncio.Event()}
    async with writing_to(store, held) as writing:
        await write(writing, await version("a", "Words of a."))
        changed = asyncio.create_task(write(writing, await version("b", "Words of b."), alone=True))
        await asyncio.sleep(SOON_S)
        assert held.begun == ["a"]
        held.gates["a"].set()
        await asyncio.sleep(SOON_S)
        assert held.begun == ["a", "b"]
        assert not changed.done()
        held.gates["b"].set()
        await changed
        assert [row[0] for row in await state(store)] == ["a", "b"]
        await write(writing, await version("c", "Words of c."))
    assert held.at_once == 1


async def test_a_fault_ends_the_group_and_what_was_written_stays(store: Store, held: Held) -> None:
    retired = type(store.generation)(store.generation.id + 1, "x", 16, "whole", "retired")
    stored: list[str] = []

    async def write_into_both() -> None:
        async with FirstLoad(store.database, store.generation) as load, asyncio.TaskGroup() as tasks:
            for to, uri in ((store.generation, "a"), (retired, "b")):
                writing = Writing(tasks, held, load, WORKSPACE, store.collections["one"], to)
                new = [await version(uri, f"Words of {uri}."), await version(f"{uri}2", f"More of {uri}.")]
                await writing.room()
                await writing.begin(new, alone=True, then=lambda uri=uri: stored.append(uri))

    with pytest.raises(ExceptionGroup) as caught:
        await write_into_both()
    assert [type(error) for error in caught.value.exceptions] == [GenerationRetired]
    assert stored == ["a"]
    assert [row[0] for row in await state(store)] == ["a", "a2"]
