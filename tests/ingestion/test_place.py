"""Place: a run that parses nothing loads no model; the first document brings what it needs."""

import threading

from app.providers.local_embedder import LocalEmbedder
from ingestion.parsing import Cutting
from ingestion.place import Here
from ingestion.sources.source import Content


async def test_models_are_loaded_with_the_first_document() -> None:
    others = set(threading.enumerate())

    def loading() -> bool:
        return any(one.name.startswith("embedder") for one in set(threading.enumerate()) - others)

    embedder = LocalEmbedder(threads=1, later=True)
    with Here(embedder) as place:
        assert not loading()
        contents = await place.parse(Content("a.md", b"# Rivers\n\nThe river rose."), Cutting(200, "auto"))
        assert contents.parsed is not None
        assert contents.parsed.text_search_config == "english"
        assert loading()
        assert (await embedder.embed_passages(["The river rose."])).shape == (1, 384)
    await embedder.close()
