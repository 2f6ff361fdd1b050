"""Contexts: those that the chat model writes for a data set's chunks, kept on disk like its vectors."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.domain.document import Chunk
from app.domain.ports import ChatModel
from app.settings import Settings
from evals.progress import Progress
from ingestion.context_prompt import Outline, Question, Questions
from ingestion.contexts import AT_ONCE, ContextModel, write_context


class _Kept:
    """Contexts by what the model was asked; each is written when it comes, so that an interrupted run goes on."""

    def __init__(self, folder: Path, model: ChatModel) -> None:
        self._folder = folder
        self._model = model
        self._asking = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, question: Question) -> str:
        """Raises ProviderError."""
        key = question.key.asked.hex
        kept = self._folder / key[:2] / key
        if kept.is_file():
            return kept.read_text()
        async with self._asking:
            context = (await write_context(self._model, question)).context
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft = kept.with_suffix(".draft")
        draft.write_text(context)
        draft.replace(kept)
        return context


async def situate(
    settings: Settings, documents: Mapping[str, tuple[str, Sequence[Chunk]]], progress: Progress
) -> tuple[dict[str, list[Chunk]], dict[str, object]]:
    """Chunks with their contexts by their document's name, given its title and chunks; and who wrote them.

    Raises ConfigurationError (and its kinds), ProviderError.
    """
    task = progress.start("writing contexts", sum(len(chunks) for _, chunks in documents.values()))
    async with ContextModel(settings) as opened:
        model, prompt = opened.ready()
        questions, kept = Questions(prompt, model.profile), _Kept(settings.data_dir / "contexts", model)

        async def one(outline: Outline, at: int) -> Chunk:
            context = await kept(questions.ask(outline, at))
            progress.advance(task)
            return replace(outline.chunks[at], context=context)

        situated = {}
        for name, (title, chunks) in documents.items():
            outline = Outline(name, title, chunks)
            situated[name] = list(await asyncio.gather(*(one(outline, at) for at in range(len(chunks)))))
        empty = sum(not chunk.context for chunks in situated.values() for chunk in chunks)
        return situated, {"model": model.profile.name, "prompt": prompt.reference, "empty": empty}
