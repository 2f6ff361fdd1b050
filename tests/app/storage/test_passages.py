"""Passages: BM25 is BM25, its statistics stay right, filters and phrases hold, and every hot query has its index."""

import asyncio
import math
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from psycopg import AsyncRawCursor, sql

from app.domain.errors import CollectionNotFound
from app.domain.filter_wire import parse_filter
from app.domain.passage import Leg, Passage
from app.domain.principal import DEFAULT_WORKSPACE_ID as WORKSPACE
from app.domain.principal import Principal
from app.services.retrieval import Retrieval, SearchRequest, different
from app.storage import inventory
from app.storage.collections import delete_collection
from app.storage.filters import narrow
from app.storage.lexemes import WORD_TABLES, add_up, wrong_statistics
from app.storage.passages import PassageIndex, PassageQuery, Routing, SearchOptions
from app.storage.search_sql import Fusion, Route, Shape, statement
from tests.app.storage.conftest import EMBEDDER, WORDS, Store, random_text

# That count nothing: 60 of the 64 that are kept until one more is written.
MANY_BATCHES = """
INSERT INTO lexical_batch (collection_id, generation_id, part, terms, chunks)
SELECT %s, %s, part, '{}', '{}' FROM generate_series(0, 127) part, generate_series(1, 60)
"""


def bm25(texts: dict[str, list[str]], query: list[str], k1: float = 1.2, b: float = 0.75) -> dict[str, float]:
    """Robertson and Zaragoza's formula, word by word."""
    average = sum(map(len, texts.values())) / len(texts)
    scores = {}
    for uri, words in texts.items():
        counts, score = Counter(words), 0.0
        for word in query:
            with_word = sum(word in other for other in texts.values())
            if counts[word]:
                idf = math.log(1 + (len(texts) - with_word + 0.5) / (with_word + 0.5))
                tf = counts[word]
                score += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(words) / average))
        if score:
            scores[uri] = score
    return scores


async def test_scores_are_those_of_the_formula(store: Store) -> None:
    rng = random.Random(1)
    texts = {f"t:{n}": random_text(rng) for n in range(60)}
    for uri, text in texts.items():
        await store.write(uri, text, config="simple")
    words = {uri: text.split() for uri, text in texts.items()}
    for query in (["river"], ["keeper", "rope"], ["lamp", "lamp", "stone", "absent"], WORDS):
        assert await store.scores(" ".join(query)) == pytest.approx(bm25(words, query), rel=1e-9)


async def test_statistics_are_of_the_collections_searched(store: Store) -> None:
    for n in range(5):
        await store.write(f"one:{n}", "ferry bridge" if n else "ferry", config="simple")
        await store.write(f"two:{n}", "bridge tide", collection="two", config="simple")
    both = {f"one:{n}": ["ferry", "bridge"] if n else ["ferry"] for n in range(5)}
    assert await store.scores("bridge") == pytest.approx(bm25(both, ["bridge"]))
    both |= {f"two:{n}": ["bridge", "tide"] for n in range(5)}
    assert await store.scores("bridge", collection=None) == pytest.approx(bm25(both, ["bridge"]))


async def test_statistics_stay_right_under_concurrent_writers(store: Store) -> None:
    """What is left after inserts, updates and deletes scores like an index built of nothing else."""

    async def write(writer: int) -> dict[str, str]:
        rng, mine = random.Random(writer), {}
        for _ in range(40):
            uri = f"w{writer}:{rng.randint(0, 9)}"
            if uri in mine and rng.random() < 0.3:
                del mine[uri]
                async with store.database.connection(WORKSPACE) as connection:
                    await connection.execute("DELETE FROM document WHERE source_uri = %s", (uri,))
            else:
                mine[uri] = random_text(rng)
                await store.write(uri, mine[uri])
        return mine

    left = {uri: text for mine in await asyncio.gather(*map(write, range(4))) for uri, text in mine.items()}
    for uri, text in left.items():
        await store.write(uri, text, collection="two")
    for query in WORDS:
        fresh = await store.scores(query, collection="two")
        assert fresh
        assert await store.scores(query) == pytest.approx(fresh, rel=1e-9)
    counts = """
        SELECT l.collection_id, unnest(l.terms) AS term, count(*) FROM chunk_lexeme l GROUP BY 1, 2
        EXCEPT SELECT collection_id, term, sum(chunks) FROM lexical_term GROUP BY 1, 2
    """
    async with store.database.reading(WORKSPACE) as connection:
        assert await (await connection.execute(counts)).fetchall() == []


async def test_statistics_are_right_whether_batches_were_added_up_or_not(store: Store) -> None:
    """Four writers of large batches, with single documents between, until the batches are added up by themselves."""

    async def write(writer: int) -> dict[str, str]:
        rng, mine = random.Random(f"batches {writer}"), {}
        for batch in range(3):
            texts = {f"w{writer}:{batch}:{n}": random_text(rng) for n in range(40)}
            await store.write_all(texts, config="simple")
            mine |= texts
            changed, gone = rng.sample(sorted(mine), 2)
            mine[changed] = random_text(rng)
            await store.write(changed, mine[changed], config="simple")
            async with store.database.connection(WORKSPACE) as connection:
                await connection.execute("DELETE FROM document WHERE source_uri = %s", (gone,))
            del mine[gone]
        return mine

    async def batches() -> int:
        async with store.database.reading(WORKSPACE) as connection:
            count = "SELECT coalesce(max(count), 0) FROM (SELECT count(*) FROM lexical_batch GROUP BY part) parts"
            [(found,)] = await (await connection.execute(count)).fetchall()
        return int(found)

    async def right() -> None:
        for query in ("river", "keeper rope", "lamp stone absent"):
            expected = bm25(words, query.split())
            found = await store.scores(query)
            assert found == pytest.approx({uri: expected[uri] for uri in found}, rel=1e-9)
            assert len(found) == min(100, len(expected))
        async with store.database.connection(WORKSPACE) as connection:
            assert await wrong_statistics(connection, store.generation.id) == 0

    async with store.database.connection(WORKSPACE) as connection:
        await connection.execute(MANY_BATCHES, (store.collections["one"], store.generation.id))
    left = {uri: text for mine in await asyncio.gather(*map(write, range(4))) for uri, text in mine.items()}
    words = {uri: text.split() for uri, text in left.items()}
    assert 1 <= await batches() < 12, "some were added up, and some were not"
    await right()
    async with store.database.connection(WORKSPACE) as connection:
        await add_up(connection, store.generation.id)
        assert await store.scores("river"), "questions are answered meanwhile"
        await right()
    assert await batches() == 0
    await right()


async def test_statistics_are_right_without_a_deleted_collection(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "DELETED_TOGETHER", 2)
    for n in range(5):
        await store.write(f"one:{n}", "ferry bridge" if n else "ferry", config="simple")
        await store.write(f"two:{n}", "bridge tide" if n else "tide ferry", collection="two", config="simple")
    await store.write_all({f"batch:{n}": f"keeper {n}" for n in range(40)}, collection="two", config="simple")
    await store.write("two:copy", "bridge tide", collection="two", config="simple")
    assert await delete_collection(store.database, WORKSPACE, "two") == 46
    left = {f"one:{n}": ["ferry", "bridge"] if n else ["ferry"] for n in range(5)}
    assert await store.scores("bridge", collection=None) == pytest.approx(bm25(left, ["bridge"]))
    async with store.database.reading(WORKSPACE) as connection:
        for table in ("collection", "document", "chunk", "chunk_embedding", *WORD_TABLES):
            column = "id" if table == "collection" else "collection_id"
            query = f"SELECT DISTINCT {column} FROM {table}"
            left_of = [] if table == "lexical_batch" else [(store.collections["one"],)]
            assert await (await connection.execute(query)).fetchall() == left_of, table


async def test_counts_that_are_added_up_while_their_collection_is_deleted_go_too(store: Store) -> None:
    await store.write("one", "ferry", config="simple")
    await store.write_all({f"batch:{n}": f"keeper {n}" for n in range(40)}, collection="two", config="simple")
    async with store.database.connection(WORKSPACE) as connection:
        await add_up(connection, store.generation.id)
        deleting = asyncio.create_task(delete_collection(store.database, WORKSPACE, "two"))
        _, waiting = await asyncio.wait([deleting], timeout=0.5)
        assert waiting
    assert await deleting == 40
    async with store.database.reading(WORKSPACE) as connection:
        assert await wrong_statistics(connection, store.generation.id) == 0
        for table in WORD_TABLES:
            found = await connection.execute(
                sql.SQL("SELECT count(*) FROM {} WHERE collection_id = %s").format(sql.Identifier(table)),
                (store.collections["two"],),
            )
            assert await found.fetchall() == [(0,)], table


async def test_a_collection_that_is_deleted_meanwhile_takes_no_more(store: Store) -> None:
    await store.write("a", "ferry", collection="two")
    await delete_collection(store.database, WORKSPACE, "two")
    with pytest.raises(CollectionNotFound, match="was deleted meanwhile"):
        await store.write("a", "ferry", collection="two")
    with pytest.raises(CollectionNotFound):
        await delete_collection(store.database, WORKSPACE, "two")


async def test_each_document_is_read_in_its_own_language(store: Store) -> None:
    await store.write("en", "The keepers were rowing to the lighthouses.", config="english")
    await store.write("de", "Die Wärter ruderten zu den Leuchttürmen.", config="german")
    assert list(await store.scores("lighthouse keeper")) == ["en"]
    assert list(await store.scores("Leuchtturm")) == ["de"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("灯塔看守人每天晚上点亮灯。", "看守人"),
        ("渡し船は毎朝六時に出ます。", "渡し船"),
        ("ประภาคารส่องแสงทุกคืน", "ประภาคาร"),
        ("등대지기는 매일 밤 불을 켠다.", "등대지기"),
    ],
)
async def test_scripts_without_spaces(store: Store, text: str, query: str) -> None:
    await store.write("wanted", text, config="simple")
    await store.write("other", "面包师傅烤面包。パンを焼く。ขนมปัง 빵집", config="simple")
    assert list(await store.scores(query)) == ["wanted"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("the “Rosendahl” entrance", "Rosendahl"),
        ("was named Rosendahl—long ago", "rosendahl"),
        ("the Rosendahl entrance", "“Rosendahl”"),
        ("l’hôtel «Rosendahl»…", "Rosendahl hotel"),
        ("¿Dónde está Rosendahl?", "dónde"),
        ("أين المتحف؟", "المتحف"),
        ("यह घर है।", "है"),
        ("from 2019–2021 on", "2021"),
        ("Ro\u00adsen\u00addahl", "rosendahl"),
        ("Don’t wait", "don't wait"),
        ("灯塔，看守人。", "看守人"),
        ("written in C++, for once", "C++"),
        ("written in C# for once", "c#?"),
        ("written in C++17, or C#5", "C++"),
        ("written in C++17, or C#5", "C#"),
        ("⚠️Rosendahl", "rosendahl"),
        ("ℹ️Rosendahl", "rosendahl"),
        ("mended in v2.1.3 at last", "2.1.3"),
        ("mended in 2.1.3 at last", "v2.1.3"),
    ],
)
async def test_marks_separate_words_and_those_of_names_count(store: Store, text: str, query: str) -> None:
    await store.write("wanted", text, config="simple")
    await store.write("other", "the letter c, version 2.1 of v2 and 2.1.30", config="simple")
    assert list(await store.scores(query)) == ["wanted"]


@pytest.mark.parametrize("leg", ["lexical", "hybrid"])
async def test_quoted_words_must_stand_as_they_are(store: Store, leg: Leg) -> None:
    await store.write("phrase", "The north harbour light is old.")
    await store.write("words", "The light stands north of the harbour.")
    found = await store.search("north harbour light", leg, phrases=["north harbour"])
    assert [p.uri for p in found] == ["phrase"]
    await store.write("zh", "北方港口的灯很旧。", config="simple")
    assert [p.uri for p in await store.search("港口的灯", leg, phrases=["港口的灯"])] == ["zh"]
    assert await store.search("港口灯", leg, phrases=["港口灯"]) == []
    await store.write("marks", "“North harbour—light”, it said.")
    found = await store.search("harbour light", leg, phrases=["harbour light it said"])
    assert [p.uri for p in found] == ["marks"]


@pytest.mark.parametrize("leg", ["lexical", "hybrid"])
async def test_a_phrase_is_found_however_many_hold_its_words(store: Store, leg: Leg) -> None:
    """The words alone are found better in 400 other chunks, more than a leg proposes."""
    for n in range(400):
        await store.write(f"words:{n}", "light north")
    await store.write("phrase", "Of all that stands by the sea only a north light shows a painter the hours.")
    assert [p.uri for p in await store.search("north light", leg, phrases=["north light"])] == ["phrase"]
    await store.write("band", "They went to see The Who, and who else was there.")
    assert [p.uri for p in await store.search("see the who", leg, phrases=["the who"])] == ["band"]


async def test_preferred_phrases_come_first_and_others_follow(store: Store) -> None:
    await store.write(
        "phrase", "The old sea wall and its many stones and the north light over the harbour of the town."
    )
    await store.write("words", "light north")
    await store.write("neither", "bread")
    retrieval = Retrieval(store.database, EMBEDDER, SearchOptions())
    for text, expected in (('"north light"', ["phrase", "words", "neither"]), ('"light south" north', ["words"])):
        wanted = SearchRequest(text, 3, phrases="preferred")
        found = await retrieval.search(Principal(), wanted)
        assert [p.uri for p in found][: len(expected)] == expected
        assert len(found) == 3
    assert await retrieval.search(Principal(), replace(wanted, phrases="required")) == []
    similar = replace(wanted, phrases="required", leg="dense")  # which knows no words, so no phrases either
    assert len(await retrieval.search(Principal(), similar)) == 3


@pytest.mark.parametrize("leg", ["dense", "lexical", "hybrid"])
async def test_copies_of_a_passage_are_retrieved_once(store: Store, leg: Leg) -> None:
    for n in range(8):
        await store.write(f"copy:{n}", "north light north light", metadata={"number": n})
    await store.write("other", "the north light of the harbour in the evening")
    await store.write("last", "light")
    retrieval = Retrieval(store.database, EMBEDDER, SearchOptions())
    for k, expected in ((1, 1), (3, 3), (10, 3)):
        found = await retrieval.search(Principal(), SearchRequest("north light", k, leg=leg))
        assert len(found) == expected
        assert len({p.text for p in found}) == expected
    assert {p.uri.partition(":")[0] for p in found} == {"copy", "other", "last"}


def test_what_tells_two_passages_apart_keeps_both() -> None:
    one = Passage("1", "document", "version", "Berlin", "berlin.md", ("Hours",), None, 0, 18, "From nine to five.", 0.9)
    others = [
        replace(one, id="2", title="Munich"),
        replace(one, id="3", heading_path=("Hours", "Summer")),
        replace(one, id="4", text="From nine to four."),
    ]
    copy = replace(one, id="5", document_id="another", metadata={"year": 2024}, score=0.1)
    assert different([one, *others, copy]) == [one, *others]


@pytest.mark.parametrize("route", ["exact", "index"])
@pytest.mark.parametrize("fusion", ["rrf", "convex", "adaptive"])
async def test_both_legs_are_fused(store: Store, route: Route, fusion: Fusion) -> None:
    for n, word in enumerate(WORDS):
        await store.write(f"t:{n}", f"{word} {WORDS[n - 1]}", config="simple")
    found = await store.search("river bridge", "hybrid", route=route, fusion=fusion)
    assert found[0].uri == "t:1"
    assert len(found) == 10
    assert found[0].similarity is not None
    assert found[0].lexical is not None
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


async def test_each_leg_counts_as_much_as_it_is_decided(store: Store) -> None:
    rng = random.Random(3)
    for n in range(40):
        await store.write(f"t:{n}", random_text(rng), config="simple")
    for text in ("river", "keeper rope bread", "signal"):
        dense = {p.uri: p.score for p in await store.search(text, "dense", k=100)}
        lexical = await store.scores(text)
        low, high, best = min(dense.values()), max(dense.values()), max(lexical.values())
        similar = {uri: (score - low) / (high - low) for uri, score in dense.items()}
        worded = {uri: score / best for uri, score in lexical.items()}
        decided = [1 - (*sorted(share.values(), reverse=True), *[0] * 10)[9] for share in (similar, worded)]
        weight = 0.35 * decided[0] / (0.35 * decided[0] + 0.65 * decided[1])
        assert abs(weight - 0.35) > 0.05
        found = {p.uri: p.score for p in await store.search(text, "hybrid", k=100)}
        expected = {uri: weight * share + (1 - weight) * worded.get(uri, 0) for uri, share in similar.items()}
        assert found == pytest.approx(expected, abs=1e-5)  # the vectors are stored in half precision


@pytest.mark.parametrize(
    ("leg", "route"),
    [*((leg, route) for leg in ("lexical", "dense", "hybrid") for route in ("exact", "index")), ("dense", "whole")],
)
async def test_filtered_searches_find_all_there_is(store: Store, route: Route, leg: Leg) -> None:
    """A filter that keeps 3 of 300 rows: an HNSW index alone would find none of them."""
    rng = random.Random(2)
    for n in range(300):
        await store.write(f"t:{n}", "river " + random_text(rng), metadata={"rare": n % 100 == 0})
    rare = parse_filter({"rare": True})
    found = await store.search("river", leg, route=route, filter_=rare, k=5)
    assert {p.uri for p in found} == {"t:0", "t:100", "t:200"}


@pytest.mark.parametrize("leg", ["lexical", "hybrid"])
@pytest.mark.parametrize("wire", [{"kept": 1}, {"kept": {"$gt": 0}}])
async def test_common_words_find_all_that_a_filter_keeps(store: Store, wire: Any, leg: Leg) -> None:
    """The word is in every chunk, and says least in those that pass: without a filter none of them is a candidate."""
    for n in range(240):
        text = f"river {n}" if n % 24 else "river " + " ".join(f"word{n}x{i}" for i in range(60))
        await store.write(f"t:{n}", text, config="simple", metadata={"kept": int(n % 24 == 0)})
    retrieval = Retrieval(store.database, EMBEDDER, SearchOptions(rare_cap=1))
    found = await retrieval.search(Principal(), SearchRequest("river", 20, filter=parse_filter(wire), leg=leg))
    assert {p.uri for p in found} == {f"t:{n}" for n in range(0, 240, 24)}
    assert all(p.lexical for p in found)


async def test_the_index_alone_gives_what_measuring_gives(store: Store) -> None:
    rng = random.Random(6)
    for n in range(300):
        await store.write(f"t:{n}", random_text(rng), collection="two" if n % 3 else "one")
    for collection in (None, "two"):
        measured = await store.search("river rope", "dense", collection=collection, route="exact")
        assert await store.search("river rope", "dense", collection=collection, route="whole") == measured


async def test_the_hot_queries_use_their_indexes(store: Store) -> None:
    async with store.database.connection(WORKSPACE) as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")  # of tables this small a scan would be right
        await connection.execute("SET LOCAL enable_sort = off")
        for leg, route in (("hybrid", "index"), ("dense", "whole"), ("lexical", "exact")):
            query = PassageQuery("river", np.ones(16, np.float32), "one", 5, leg)  # type: ignore[arg-type]
            index = PassageIndex(store.database, SearchOptions())
            shape = Shape(store.generation, query.leg, route, "adaptive")  # type: ignore[arg-type]
            found, cursor = statement(shape), AsyncRawCursor(connection)
            await cursor.execute(b"EXPLAIN " + found.text, found.arguments(index._values(query, Routing(route))))  # type: ignore[arg-type]
            plan = "\n".join(line for (line,) in await cursor.fetchall())
            assert (f"on lexical_{store.generation.id} " in plan) == (leg != "dense")
            assert (f"using hnsw_{store.generation.id} on chunk_embedding" in plan) == (leg != "lexical")


async def test_a_filter_does_not_keep_the_planner_from_the_hnsw_index(store: Store) -> None:
    """Whether few rows pass is the router's to estimate; the planner, which thinks so of any filter, is not asked."""
    rng = random.Random(3)
    for n in range(200):
        await store.write(f"t:{n}", random_text(rng), metadata={"half": n % 2 == 0})
    half = parse_filter({"half": True})
    assert half is not None
    found = statement(Shape(store.generation, "dense", "index", "adaptive", narrow(half)[0]))
    async with store.database.connection(WORKSPACE) as connection:
        await connection.execute("ANALYZE chunk_embedding")
        await connection.execute("SET LOCAL enable_seqscan = off")  # of a table this small a scan would be right
        rows = await (await connection.execute(b"EXPLAIN (GENERIC_PLAN) " + found.text)).fetchall()
    plan = "\n".join(line for (line,) in rows)
    walked = plan[plan.index("CTE walked") : plan.index("CTE near")]
    assert f"using hnsw_{store.generation.id} on chunk_embedding" in walked
    assert "ix_chunk_embedding_keys" in plan.replace(walked, "")  # where the index gives up


@pytest.mark.parametrize(
    ("wire", "index"),
    [
        ({"lang": "l7"}, "ix_chunk_embedding_keys"),
        ({"lang": {"$in": ["l7", "l8", 3]}}, "ix_chunk_embedding_keys"),
        ({"lang": "l7", "year": {"$lt": 1000}}, "ix_chunk_embedding_keys"),
        ({"year": {"$gte": 1000}, "$and": [{"tag": 7}, {"$not": {"lang": "l57"}}]}, "ix_chunk_embedding_keys"),
        ({"$or": [{"lang": "l7"}, {"tag": 8}]}, "ix_chunk_embedding_keys"),
        ({"year": {"$lt": 1000}}, "ix_chunk_embedding_collection_id_generation_id"),
    ],
)
async def test_values_are_found_by_the_index_of_keys(store: Store, wire: Any, index: str) -> None:
    wanted = parse_filter(wire)
    assert wanted is not None
    rng = random.Random(3)
    for n in range(50):
        await store.write(f"t:{n}", random_text(rng), metadata={"lang": f"l{n}", "year": n, "tag": n})
    narrowed, _ = narrow(wanted)
    dense = Shape(store.generation, "dense", "exact", "adaptive", narrowed)
    wanted_of = {"CTE near": (dense, {index})}
    if narrowed.keys:
        few = replace(dense, leg="lexical", few=True)
        wanted_of["CTE likely"] = (few, {index, "pk_chunk_lexeme"})
    async with store.database.connection(WORKSPACE) as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")  # of a table this small a scan would be right
        for part, (shape, indexes) in wanted_of.items():
            rows = await (await connection.execute(b"EXPLAIN (GENERIC_PLAN) " + statement(shape).text)).fetchall()
            plan = "\n".join(line for (line,) in rows)
            assert all(name in plan[plan.index(part) :] for name in indexes)


PREPARED = "SELECT parameter_types::text FROM pg_prepared_statements WHERE statement LIKE '%%<=>%%'"


@pytest.mark.parametrize("route", ["exact", "index", "whole"])
async def test_a_vector_is_sent_as_the_index_stores_it(store: Store, route: Route) -> None:
    await store.write("t:1", "river")
    await store.search("river", "dense", route=route, k=1)
    async with store.database.reading(WORKSPACE) as connection:  # the one that was used last
        types = [row[0] for row in await (await connection.execute(PREPARED)).fetchall()]
    assert types  # one of another type would be made one of this for every row that is measured
    assert all("halfvec" in found and "{vector" not in found and ",vector" not in found for found in types)
