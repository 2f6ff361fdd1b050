"""Settings: what `.env` says, what the environment says, and what is refused."""

import os
from pathlib import Path

import pytest
import structlog

from app.domain.errors import ConfigurationError
from app.settings import Settings, load_settings
from app.telemetry import configure_logging


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; what `.env` adds to the environment is taken back after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return tmp_path


def test_keys_in_env_file_reach_the_providers_and_the_settings(folder: Path) -> None:
    (folder / ".env").write_text("OPENAI_API_KEY=sk-from-file\nFOOTNOTE_PORT=8123\n# a comment\n")
    assert load_settings().port == 8123
    assert os.environ["OPENAI_API_KEY"] == "sk-from-file"


def test_what_is_set_already_stays(folder: Path) -> None:
    os.environ["OPENAI_API_KEY"] = "sk-from-shell"
    os.environ["FOOTNOTE_PORT"] = "8001"
    (folder / ".env").write_text("OPENAI_API_KEY=sk-from-file\nFOOTNOTE_PORT=8123\n")
    assert load_settings().port == 8001
    assert os.environ["OPENAI_API_KEY"] == "sk-from-shell"


def test_arguments_win_over_the_environment(folder: Path) -> None:
    os.environ["FOOTNOTE_PORT"] = "8001"
    assert load_settings(port=8002, host=None).port == 8002


def test_every_fault_is_named_by_its_variable(folder: Path) -> None:
    os.environ["FOOTNOTE_PORT"] = "99999"
    os.environ["FOOTNOTE_CHUNK_TOKENS"] = "few"
    with pytest.raises(ConfigurationError, match=r"FOOTNOTE_PORT: .*FOOTNOTE_CHUNK_TOKENS: "):
        load_settings()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("me.org", False),
    ],
)
def test_only_loopback_may_do_without_keys(host: str, *, loopback: bool) -> None:
    settings = Settings(host=host)
    assert settings.loopback is loopback
    if loopback:
        settings.require_safe_listener()
    else:
        with pytest.raises(ConfigurationError, match="FOOTNOTE_API_KEYS"):
            settings.require_safe_listener()
        Settings(host=host, api_keys="k" * 16).require_safe_listener()


@pytest.mark.parametrize(
    "keys", ["k" * 16, ":" + "k" * 16, "handbook:", "handbook:short", f"a:{'k' * 16},b:{'k' * 16}"]
)
def test_a_visitors_key_needs_its_collection_and_is_used_once(folder: Path, keys: str) -> None:
    os.environ["FOOTNOTE_VISITOR_KEYS"] = keys.replace("K", "k" * 16)
    with pytest.raises(ConfigurationError, match="FOOTNOTE_VISITOR_KEYS: "):
        load_settings()


def test_a_visitors_key_is_none_of_the_owner_s(folder: Path) -> None:
    os.environ["FOOTNOTE_API_KEYS"] = "k" * 16
    os.environ["FOOTNOTE_VISITOR_KEYS"] = f"faq:2026:{'v' * 16}, handbook:{'k' * 16}"
    with pytest.raises(ConfigurationError, match="the same key"):
        load_settings()
    os.environ["FOOTNOTE_VISITOR_KEYS"] = f"faq:2026:{'v' * 16}"
    assert [(about, key.get_secret_value()) for about, key in load_settings().visitor_keys] == [("faq:2026", "v" * 16)]


def test_a_file_as_windows_writes_it(folder: Path) -> None:
    (folder / ".env").write_bytes("FOOTNOTE_PORT=8123 # ours\r\nFOOTNOTE_LOG_LEVEL='error'\r\n".encode("utf-8-sig"))
    settings = load_settings()
    assert (settings.port, settings.log_level) == (8123, "error")
    (folder / ".env").write_bytes("FOOTNOTE_PORT=8123".encode("utf-16"))
    with pytest.raises(ConfigurationError, match=r"\.env is not UTF-8"):
        load_settings()


@pytest.mark.parametrize("json", [False, True])
def test_a_fault_is_logged_without_the_values_at_hand(json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", json=json)
    headers = {"authorization": "-".join(("a", "key", "of", "somebody"))}
    try:
        assert headers["wanted"]
    except KeyError as error:
        structlog.get_logger().error("request.crashed", exc_info=error)
    logged = capsys.readouterr().err
    assert "KeyError" in logged
    assert "a-key-of-somebody" not in logged
