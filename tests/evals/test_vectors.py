"""The vector cache: what is on disk is not embedded again, whatever happened to the file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.domain.ports import Vectors
from app.providers.fakes import HashEmbedder
from evals.vectors import VectorCache

TEXTS = ["the lamp turns", "rye bread", "the lamp turns"]


class Counting(HashEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        self.asked.extend(texts)
        return await super().embed_passages(texts)


async def test_a_text_is_embedded_once(tmp_path: Path) -> None:
    embedder, done = Counting(), list[int]()
    vectors = await VectorCache(tmp_path / "evals", "island", embedder).embed(TEXTS, done.append)
    assert embedder.asked == ["the lamp turns", "rye bread"]
    assert sum(done) == len(TEXTS)
    np.testing.assert_array_equal(vectors, await HashEmbedder().embed_passages(TEXTS))
    later = Counting()
    again = await VectorCache(tmp_path / "evals", "island", later).embed([*TEXTS, "a third"])
    assert later.asked == ["a third"]
    np.testing.assert_array_equal(again[:3], vectors)


async def test_a_record_that_was_cut_off_is_written_again(tmp_path: Path) -> None:
    await VectorCache(tmp_path, "island", HashEmbedder()).embed(TEXTS)
    (file,) = tmp_path.glob("*.bin")
    file.write_bytes(file.read_bytes()[:-7])
    embedder = Counting()
    vectors = await VectorCache(tmp_path, "island", embedder).embed(TEXTS)
    assert embedder.asked == ["rye bread"]
    np.testing.assert_array_equal(vectors, await HashEmbedder().embed_passages(TEXTS))
    last = Counting()
    await VectorCache(tmp_path, "island", last).embed(TEXTS)
    assert last.asked == []


async def test_two_at_a_time_spoil_nothing(tmp_path: Path) -> None:
    first, second = (VectorCache(tmp_path, "island", HashEmbedder()) for _ in range(2))
    await first.embed(["one", "two", "three"])
    await second.embed(["four"])
    await first.embed(["five"])
    texts = ["one", "two", "three", "four", "five"]
    vectors = await VectorCache(tmp_path, "island", HashEmbedder()).embed(texts)
    np.testing.assert_array_equal(vectors, await HashEmbedder().embed_passages(texts))


async def test_nothing_to_embed(tmp_path: Path) -> None:
    assert (await VectorCache(tmp_path, "island", HashEmbedder()).embed([])).shape == (0, 64)
