"""Which chat model the settings give, and how they can be wrong."""

import os
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from app.domain.conversation import ChatMessage
from app.domain.errors import ConfigurationError, MissingKey, ProviderUnavailable, UnknownModel
from app.providers.chat_model import make_chat_model
from app.providers.fakes import ScriptedChatModel
from app.providers.fallback import FallbackChatModel
from app.settings import Settings
from tests.fixtures.openai_server import fake_upstream


async def test_scripted() -> None:
    model = make_chat_model(Settings(chat_model="scripted", chat_context_tokens=1024))
    assert isinstance(model, ScriptedChatModel)
    assert model.profile.context_tokens == 1024
    assert not model.profile.small


async def test_the_next_model_answers_when_one_fails_before_its_first_word() -> None:
    with fake_upstream(status=500) as broken:
        model = make_chat_model(
            Settings(chat_model="openai:m", chat_base_url=broken.base_url, chat_models=("scripted",))
        )
        async with aclosing(model.stream([ChatMessage("user", "[[say=Here I am.]]")], max_tokens=50)) as deltas:
            assert "".join([delta.text async for delta in deltas]) == "Here I am."
        assert model.profile.name == "openai:m"
        await model.close()


async def test_an_answer_that_has_begun_stays_with_its_model() -> None:
    first, second = ScriptedChatModel(), ScriptedChatModel(context_tokens=1024)
    model = FallbackChatModel([first, second])
    assert model.profile.context_tokens == 1024
    deltas = model.stream([ChatMessage("user", "[[tokens=9]] [[fail-after=2]]")], max_tokens=50)
    assert [bool((await anext(deltas)).text) for _ in range(2)] == [True, True]
    with pytest.raises(ProviderUnavailable):
        await anext(deltas)
    assert second.tokens_generated == 0


async def test_when_all_fail_the_last_one_says_why() -> None:
    model = FallbackChatModel([ScriptedChatModel(), ScriptedChatModel()])
    with pytest.raises(ProviderUnavailable):
        await anext(model.stream([ChatMessage("user", "[[fail-first]]")], max_tokens=50))


async def test_the_packaged_model_is_small() -> None:
    model = make_chat_model(Settings(chat_model="local"))
    assert model.profile.small
    assert (model.profile.name, model.profile.context_tokens) == ("local:SmolLM2-135M-Instruct", 2048)
    await model.close()


async def test_a_provider_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    model = make_chat_model(Settings(chat_model="openai:gpt-4.1-mini"))
    assert (model.profile.name, model.profile.context_tokens) == ("openai:gpt-4.1-mini", 16_384)
    await model.close()


@pytest.mark.parametrize("name", ["gpt-4.1-mini", "openai:", ":m", ""])
def test_names_without_a_provider_are_explained(name: str) -> None:
    with pytest.raises(UnknownModel, match=r"`local`.*`gguf:PATH`.*for example `openai:") as caught:
        make_chat_model(Settings(chat_model=name))
    assert "FOOTNOTE_CHAT_MODEL" in caught.value.message


def test_an_unknown_provider_is_explained() -> None:
    with pytest.raises(UnknownModel, match=r"`nonesuch`.*`ollama:NAME`"):
        make_chat_model(Settings(chat_model="nonesuch:m"))


@pytest.mark.parametrize(
    ("model", "variable"),
    [("openai:gpt-4.1-mini", "OPENAI_API_KEY"), ("anthropic:claude-haiku-4-5", "ANTHROPIC_API_KEY")],
)
def test_a_missing_key_is_named(model: str, variable: str) -> None:
    with pytest.raises(MissingKey, match=variable):
        make_chat_model(Settings(chat_model=model))


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigurationError, match="langchain-groq"):
        make_chat_model(Settings(chat_model="groq:llama"))


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys; sys.modules['langchain_anthropic'] = None\n"
        "from app.providers.chat_model import make_chat_model\n"
        "from app.settings import Settings\n"
        "make_chat_model(Settings(chat_model='anthropic:m'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert "uv sync --extra anthropic" in done.stderr


def test_a_gguf_path_that_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=str(tmp_path / "none.gguf")):
        make_chat_model(Settings(chat_model=f"gguf:{tmp_path / 'none.gguf'}"))


def test_nothing_heavy_is_imported_for_a_local_model() -> None:
    script = (
        "import sys; from app.providers.chat_model import make_chat_model; from app.settings import Settings\n"
        "make_chat_model(Settings(chat_model='scripted'))\n"
        "print(*[m for m in ('langchain', 'langchain_core', 'openai', 'xllamacpp', 'llama_index') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
