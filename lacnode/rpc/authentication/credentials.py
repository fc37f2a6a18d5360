"""Besu's file of users: their names, hashes of passwords (bcrypt), permissions, and keys for private transactions.

The file is read again at every login, so that a user can be added while the node runs.
"""

import base64
import binascii
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt

from lacnode.rpc.user import AuthenticationSetupError
from lacnode.storage.bounded_file import read_bounded

MAX_CREDENTIALS_FILE_BYTES = 4 * 2**20
"""Bytes of a file of users. A larger file cannot be used."""

MAX_PASSWORD_BYTES = 72
"""Bytes of a password that bcrypt compares. A longer password is refused. Otherwise it would fit if only its beginning
did."""

_NOBODYS = b"$2b$10$iP8AaaYMudb6HBRK7Lgsu.SgzFs3ttUyYTvYtHejK2bEbd/rF.o.2"
"""A hash that a password is compared with if there is no such user. The time of the answer must not tell whether there is
one."""


class CredentialsError(AuthenticationSetupError):
    """The file of users cannot be used. The message gives the reason without the file's content."""


@dataclass(frozen=True, slots=True)
class UserAccount:
    """A user of the file. `password_hash` is bcrypt's text. `permissions` have the forms of `User`. `privacy_key` is a
    transaction manager's key in base64, or None. The forms of these three are not checked."""

    name: str
    password_hash: bytes = field(repr=False)
    permissions: list[str]
    privacy_key: str | None


class CredentialsFile:
    """The users in the TOML file of `--rpc-http-authentication-credentials-file` or
    `--rpc-ws-authentication-credentials-file`. The constructor does not read the file. `check` does, and each login
    does again."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def check(self, *, with_privacy_keys: bool) -> None:
        """Read and check the file. CredentialsError if it cannot be read, has no users, or has a user without a
        password. With `with_privacy_keys` it is also raised for a user without a key of 32 bytes in base64."""
        for name, table in self._users().items():
            account = _account(name, table)
            if with_privacy_keys and _key_size(account.privacy_key) != 32:
                raise CredentialsError(
                    f"{self._file}: Users.{name}.privacyPublicKey: a public key of 32 bytes in base64 was expected, since "
                    "privacy multi-tenancy is on"
                )

    def account(self, name: str, password: str) -> UserAccount | None:
        """Return the user with this name and password, after reading the file. None if the name is unknown, the
        password is wrong, or the file cannot be used now. It takes about the same time in each case."""
        # Every path compares a password with a hash, so that all of them take about the same time.
        try:
            table = self._users().get(name)
            account = None if table is None else _account(name, table)
        except CredentialsError:
            account = None
        fits = _fits(password, _NOBODYS if account is None else account.password_hash)
        return account if fits else None

    def _users(self) -> Mapping[str, object]:
        try:
            document = tomllib.loads(read_bounded(self._file, MAX_CREDENTIALS_FILE_BYTES).decode("utf-8"))
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
    # JSON may hold half of a surrogate pair. It must give a refusal and not an exception.
    data = password.encode("utf-8", "surrogatepass")
    try:
        return bcrypt.checkpw(data[:MAX_PASSWORD_BYTES], password_hash) and len(data) <= MAX_PASSWORD_BYTES
    except ValueError:
        # The file has no bcrypt hash for this user.
        return False


def _key_size(text: str | None) -> int:
    try:
        return len(base64.b64decode(text or "", validate=True))
    except (binascii.Error, ValueError):
        return 0
