"""What failures mean that no test upstream can produce."""

import pytest

from app.domain.errors import ProviderRejected, ProviderTimedOut, ProviderUnavailable
from app.providers.resilience import Endpoint

AT_HOME = Endpoint("openai", "m", "FOOTNOTE_CHAT_MODEL", None, "OPENAI_API_KEY", ("sk-secret", ""))


def test_a_failure_of_ours_is_kept() -> None:
    failure = ProviderRejected("no")
    assert AT_HOME.failure(failure) is failure


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), ProviderTimedOut),
        (ConnectionResetError(), ProviderUnavailable),
        (ValueError("No generations found"), ProviderUnavailable),
    ],
)
def test_kinds_are_told_by_type(error: Exception, kind: type[Exception]) -> None:
    failure = AT_HOME.failure(error)
    assert type(failure) is kind
    assert "`openai`" in failure.message


def test_a_text_that_speaks_of_time_is_no_timeout() -> None:
    assert isinstance(AT_HOME.failure(ValueError("timeout 401 connection")), ProviderUnavailable)


def test_secrets_are_blotted_out_and_long_texts_cut() -> None:
    message = AT_HOME.failure(ValueError("sk-secret " * 500)).message
    assert "sk-secret" not in message
    assert len(message) < 500
