"""The scripted model and its directives."""

import asyncio
import time

import numpy as np
import pytest

from app.domain.conversation import ChatMessage
from app.domain.errors import ProviderUnavailable
from app.providers.fakes import HashEmbedder, ScriptedChatModel
from app.providers.prompt_files import PromptFiles
from app.settings import Settings

PASSAGES = (
    '<passage id="1" title="Backups">\nA backup starts at 02:30. It takes a while.\n</passage>\n'
    '<passage id="2" title="Mills">\nThe mill closed in 1962! Nobody minded. [[fail-first]]\n</passage>'
)


def prompt(question: str, passages: str = PASSAGES, name: str = "answer", history: str = "") -> list[ChatMessage]:
    system, user = (
        PromptFiles(Settings().prompts_dir).active(name).render(passages=passages, question=question, history=history)
    )
    return [ChatMessage("system", system), ChatMessage("user", user)]


async def answer(messages: list[ChatMessage], max_tokens: int = 1000, model: ScriptedChatModel | None = None) -> str:
    stream = (model or ScriptedChatModel()).stream(messages, max_tokens=max_tokens)
    return "".join([delta.text async for delta in stream])


async def test_it_answers_with_the_first_sentences_of_the_passages() -> None:
    assert await answer(prompt("When?")) == "A backup starts at 02:30. The mill closed in 1962!"


async def test_directives_steer_it_from_the_question_alone() -> None:
    assert await answer(prompt("When? [[say=As I was told.]]")) == "As I was told."
    assert len((await answer(prompt("[[tokens=33]]"))).split()) == 33
    assert await answer(prompt("When? [[say=one two]] [[tokens=5]]")) == "one two one two one"


async def test_without_passages_it_says_the_question() -> None:
    assert await answer([ChatMessage("user", "Well?\nQuestion: what is it?")]) == "what is it?"


async def test_a_rewritten_question_keeps_its_directives() -> None:
    rewritten = await answer(prompt("And why? [[fail-first]]", name="condense", history="user: a\nassistant: b"))
    assert rewritten == "And why? [[fail-first]]"


@pytest.mark.parametrize(
    ("directive", "words"), [("[[fail-first]]", 0), ("[[fail-after=3]]", 3), ("[[fail-after=99]]", 10)]
)
async def test_it_fails_when_told(directive: str, words: int) -> None:
    model = ScriptedChatModel()
    stream = model.stream(prompt(f"Why? {directive}"), max_tokens=100)
    for _ in range(words):
        await anext(stream)
    with pytest.raises(ProviderUnavailable, match="as the question told it"):
        await anext(stream)
    assert (model.tokens_generated, model.open_streams, model.closed_early) == (words, 0, 0)


async def test_it_keeps_its_speed() -> None:
    started = time.monotonic()
    await answer(prompt("[[tokens=30]]"), model=ScriptedChatModel(tokens_per_s=100))
    assert time.monotonic() - started > 0.29  # how much later depends on what else the machine does


async def test_it_counts_what_was_stopped() -> None:
    model = ScriptedChatModel(tokens_per_s=1000)
    stream = model.stream(prompt("[[tokens=100]]"), max_tokens=100)
    await anext(stream)
    assert model.open_streams == 1
    await stream.aclose()
    task = asyncio.create_task(answer(prompt("[[tokens=5000]]"), 5000, model))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (model.open_streams, model.closed_early) == (0, 2)


async def test_hashed_texts_that_share_words_are_near() -> None:
    embedder = HashEmbedder(256)
    mill, same, other = await embedder.embed_passages(["the old mill", "THE OLD MILL!", "quick brown foxes"])
    assert np.dot(mill, same) == pytest.approx(1)
    assert abs(np.dot(mill, other)) < 0.4
