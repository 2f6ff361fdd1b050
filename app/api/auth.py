"""Auth: API keys to principals."""

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from pydantic import SecretStr

from app.domain.errors import Unauthenticated
from app.domain.principal import Principal


class Authenticator:
    """Knows keys by their SHA-256 only; without any, everyone who reaches the server is let in (it is on loopback)."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._hashes = [sha256(key.get_secret_value().encode()).digest() for key in keys]

    @property
    def required(self) -> bool:
        """Whether a key is needed."""
        return bool(self._hashes)

    def authenticate(self, authorization: str | None) -> Principal:
        """The principal of an `Authorization` header; every wrong key takes equally long. Raises Unauthenticated."""
        if not self._hashes:
            return Principal()
        scheme, _, key = (authorization or "").partition(" ")
        presented = sha256(key.strip().encode()).digest()
        matches = [compare_digest(presented, known) for known in self._hashes]
        if scheme.lower() != "bearer" or not any(matches):
            raise Unauthenticated
        return Principal(name=f"key-{matches.index(True) + 1}")
