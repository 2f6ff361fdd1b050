"""Which chat model the settings give, and how they can be wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.errors import ConfigurationError, MissingKey, UnknownModel
from app.providers.chat_model import make_chat_model
from app.providers.fakes import ScriptedChatModel
from app.settings import Settings


async def test_scripted() -> None:
    model = make_chat_model(Settings(chat_model="scripted", chat_context_tokens=1024))
    assert isinstance(model, ScriptedChatModel)
    assert model.profile.context_tokens == 1024
    assert not model.profile.small


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
