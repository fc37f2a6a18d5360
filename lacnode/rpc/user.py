"""Somebody who showed a token, and what it permits. Must not know how it was checked."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class User:
    """`permissions` are `*:*`, `<group>:*` or `<group>:<method>`; `privacy_key` is the transaction manager's key (32 bytes)
    that this user acts for, None where the token names none, or none that is one."""

    permissions: frozenset[str]
    privacy_key: bytes | None = None

    def may_call(self, method: str) -> bool:
        """Whether the method (`eth_call`) is permitted (Besu, `JsonRpcMethod.getPermissions`)."""
        group, _, _ = method.partition("_")
        return not self.permissions.isdisjoint(("*:*", f"{group}:*", method.replace("_", ":")))


class AuthenticationSetupError(Exception):
    """A file that says who may call, or whose tokens count, cannot be used; names it and what was expected."""


class LoginRefusedError(Exception):
    """No token: the HTTP status, its reason and the text, as Besu gives them."""

    def __init__(self, status: int, reason: str, text: str = "") -> None:
        super().__init__(text or reason)
        self.status = status
        self.reason = reason
        self.text = text


class Authenticator(Protocol):
    """How one port finds out who calls. Safe from any thread."""

    def requires_token(self) -> bool:
        """Whether there is no method at all that may be called without one."""

    def find_user(self, authorization: str | None) -> User | None:
        """Who sent a request with this `Authorization` header, None for nobody in particular."""

    def permits(self, user: User | None, method: str) -> bool:
        """Whether `user` may call `method`."""

    def log_in(self, body: bytes) -> str:
        """A token for the name and password in a JSON text; LoginRefusedError."""
