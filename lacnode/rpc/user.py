"""The user that a token names, and the permissions of the token. Must not know how the token was checked."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class User:
    """The user of a token.

    `permissions` have the forms `*:*`, `<group>:*` and `<group>:<method>`. `privacy_key` is the transaction manager's
    key (32 bytes) for which this user acts. It is None if the token names no valid key.
    """

    permissions: frozenset[str]
    privacy_key: bytes | None = None

    def may_call(self, method: str) -> bool:
        """Return True if the method (such as `eth_call`) is permitted by `permissions` (Besu,
        `JsonRpcMethod.getPermissions`). It does not look at the methods that are open to all."""
        group, _, _ = method.partition("_")
        return not self.permissions.isdisjoint(("*:*", f"{group}:*", method.replace("_", ":")))


class AuthenticationSetupError(Exception):
    """A file with users or with a token issuer's key cannot be used. The text says what is wrong. Some of the texts,
    which are Besu's, do not name the file."""


class LoginRefusedError(Exception):
    """The login gets no token. HTTP's `status`, its `reason` and the body `text` are Besu's. The text may be empty."""

    def __init__(self, status: int, reason: str, text: str = "") -> None:
        super().__init__(text or reason)
        self.status = status
        self.reason = reason
        self.text = text


class Authenticator(Protocol):
    """Finds the user of each request of one port, says which methods the user may call, and gives tokens. Safe to use
    from several threads."""

    def requires_token_for_every_method(self) -> bool:
        """Return True if every method needs a token. False if some method is open to all."""

    def find_user(self, authorization: str | None) -> User | None:
        """Return the user of a request with this `Authorization` header. None if it is missing or has no valid token.
        It checks a signature: run it in a thread."""

    def permits(self, user: User | None, method: str) -> bool:
        """Return True if `user` may call `method`, or if the method is open to all. `user` is None for a request
        without a valid token."""

    def log_in(self, body: bytes) -> str:
        """Return a token for the `username` and the `password` in a JSON text. It is slow on purpose: run it in a
        thread. LoginRefusedError if one of them is wrong or missing, or if there are no logins."""
