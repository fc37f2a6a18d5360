"""Besu's file of users: names, hashes of passwords (bcrypt), permissions, and the key that a user's private transactions
are sent by. Read again at every login, so that a user can be added while the node runs.
"""

import base64
import binascii
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt

from lacnode.rpc.user import AuthenticationSetupError

MAX_CREDENTIALS_FILE_BYTES = 4 * 2**20
"""Bytes."""

MAX_PASSWORD_BYTES = 72
"""Bytes that bcrypt looks at; more are no password, rather than one that fits by its beginning."""

_NOBODYS = b"$2b$10$iP8AaaYMudb6HBRK7Lgsu.SgzFs3ttUyYTvYtHejK2bEbd/rF.o.2"
"""Compared with where there is no such user, so that the time does not tell."""


class CredentialsError(AuthenticationSetupError):
    """A file that cannot be used; says why, without what is in it."""


@dataclass(frozen=True, slots=True)
class UserAccount:
    """A user of the file."""

    name: str
    password_hash: bytes = field(repr=False)
    permissions: list[str]
    privacy_key: str | None


class CredentialsFile:
    """The users of `file`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def check(self, *, with_privacy_keys: bool) -> None:
        """CredentialsError unless every user has a password and, if asked for, a key."""
        for name, table in self._users().items():
            account = _account(name, table)
            if with_privacy_keys and _key_size(account.privacy_key) != 32:
                raise CredentialsError(
                    f"{self._file}: Users.{name}.privacyPublicKey: a public key of 32 bytes in base64 was expected, since "
                    "privacy multi-tenancy is on"
                )

    def account(self, name: str, password: str) -> UserAccount | None:
        """The user with this name and password; None if there is none, or the file cannot be read now."""
        try:
            table = self._users().get(name)
            account = None if table is None else _account(name, table)
        except CredentialsError:
            account = None
        fits = _fits(password, _NOBODYS if account is None else account.password_hash)
        return account if fits else None

    def _users(self) -> Mapping[str, object]:
        try:
            with self._file.open("rb") as opened:
                text = opened.read(MAX_CREDENTIALS_FILE_BYTES + 1)
            document = tomllib.loads(text.decode("utf-8")) if len(text) <= MAX_CREDENTIALS_FILE_BYTES else {}
        except FileNotFoundError:
            raise CredentialsError(
                f"The specified RPC HTTP authentication credential file '{self._file}' does not exist"
            ) from None
        except (OSError, ValueError, RecursionError):
            raise CredentialsError("RPC authentication configuration file contains invalid values.") from None
        users = document.get("Users")
        if not isinstance(users, Mapping) or not users:
            raise CredentialsError("RPC authentication configuration file contains invalid values.")
        return users


def _account(name: str, table: object) -> UserAccount:
    if not isinstance(table, Mapping):
        raise CredentialsError("RPC authentication configuration file contains invalid values.")
    password, permissions = table.get("password"), table.get("permissions", [])
    if not isinstance(password, str) or not password:
        raise CredentialsError("RPC user specified without password.")
    key = table.get("privacyPublicKey")
    if not isinstance(permissions, list) or not isinstance(key, str | None):
        raise CredentialsError("RPC authentication configuration file contains invalid values.")
    return UserAccount(name, password.encode(), [str(permission) for permission in permissions], key)


def _fits(password: str, password_hash: bytes) -> bool:
    data = password.encode("utf-8", "surrogatepass")
    try:
        return bcrypt.checkpw(data[:MAX_PASSWORD_BYTES], password_hash) and len(data) <= MAX_PASSWORD_BYTES
    except ValueError:  # no hash of bcrypt's
        return False


def _key_size(text: str | None) -> int:
    try:
        return len(base64.b64decode(text or "", validate=True))
    except (binascii.Error, ValueError):
        return 0
