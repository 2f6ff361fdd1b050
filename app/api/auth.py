"""Auth: API keys to principals."""

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from pydantic import SecretStr

from app.domain.errors import Forbidden, Unauthenticated
from app.domain.principal import Principal


class Authenticator:
    """Knows keys by their SHA-256 only; without any, everyone who reaches the server is let in (it is on loopback)."""

    def __init__(self, keys: Sequence[SecretStr], visitors: Sequence[tuple[str, SecretStr]] = ()) -> None:
        """`visitors` are keys that may only ask, each about the collection before it."""
        named = [(Principal(name=f"key-{place}"), key) for place, key in enumerate(keys, start=1)]
        named += [(Principal(name=f"visitors:{about}", collection=about), key) for about, key in visitors]
        self._principals = [principal for principal, _ in named]
        self._hashes = [sha256(key.get_secret_value().encode()).digest() for _, key in named]

    @property
    def required(self) -> bool:
        """Whether a key is needed."""
        return bool(self._hashes)

    def authenticate(self, authorization: str | None, *, visitors: bool = False) -> Principal:
        """The principal of an `Authorization` header; every wrong key takes equally long.

        Raises Unauthenticated; Forbidden for a visitor, unless `visitors` are let in.
        """
        if not self._hashes:
            return Principal()
        scheme, _, key = (authorization or "").partition(" ")
        presented = sha256(key.strip().encode()).digest()
        matches = [compare_digest(presented, known) for known in self._hashes]
        if scheme.lower() != "bearer" or not any(matches):
            raise Unauthenticated
        principal = self._principals[matches.index(True)]
        if principal.collection is not None and not visitors:
            raise Forbidden
        return principal
