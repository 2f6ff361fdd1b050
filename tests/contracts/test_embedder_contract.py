"""The contract of every embedder, held by the fake and the real ones alike."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from app.domain.ports import Embedder
from app.providers.embedder import make_embedder
from app.settings import Settings
from tests.fixtures.openai_server import fake_upstream

TEXTS = [
    "The river rises in spring and floods the meadows.",
    "A backup starts every night at half past two.",
    "Rye dough needs sourdough.",
]


@pytest.fixture(params=["scripted", "local", "openai"])
async def embedder(request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
    with fake_upstream() as upstream:
        name = "openai:m" if request.param == "openai" else request.param
        made = make_embedder(Settings(embedder=name, embedder_base_url=upstream.base_url, embedder_threads=1))
        yield made
        await made.close()


async def test_one_unit_vector_for_each_text(embedder: Embedder) -> None:
    vectors = await embedder.embed_passages(TEXTS)
    assert vectors.shape == (3, embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


async def test_a_question_is_one_row(embedder: Embedder) -> None:
    vector = await embedder.embed_query("When does the backup start?")
    assert vector.shape == (1, embedder.dimensions)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


async def test_the_order_is_kept(embedder: Embedder) -> None:
    forwards, backwards = await embedder.embed_passages(TEXTS), await embedder.embed_passages(TEXTS[::-1])
    assert forwards == pytest.approx(backwards[::-1], abs=1e-5)


async def test_a_vector_does_not_depend_on_its_neighbours(embedder: Embedder) -> None:
    together = await embedder.embed_passages([*TEXTS, "word " * 200])
    assert (await embedder.embed_passages(TEXTS[:1]))[0] == pytest.approx(together[0], abs=1e-5)


async def test_no_texts_no_rows(embedder: Embedder) -> None:
    assert (await embedder.embed_passages([])).shape == (0, embedder.dimensions)


async def test_texts_of_any_length_are_taken(embedder: Embedder) -> None:
    vectors = await embedder.embed_passages(["", " ", "long " * 20_000, "日本語のテキスト" * 2_000, "\x00\ud7ff"])
    assert vectors.shape == (5, embedder.dimensions)
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


async def test_a_question_is_nearest_to_the_passage_that_answers_it(embedder: Embedder) -> None:
    passages = await embedder.embed_passages(TEXTS)
    question = await embedder.embed_query("At what time every night does a backup start?")
    assert int(np.argmax(passages @ question[0])) == 1


async def test_it_has_a_name_to_store_with_the_index(embedder: Embedder) -> None:
    assert ":" in embedder.name
