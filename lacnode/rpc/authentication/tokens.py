"""JSON Web Tokens: those that this node gives and checks, and those of another issuer, which this node only checks."""

import base64
import binascii
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from lacnode.rpc.user import AuthenticationSetupError, User
from lacnode.storage.bounded_file import read_bounded

TOKEN_LIFETIME_SECONDS = 5 * 60
"""Lifetime of a token that this node gives, as in Besu."""

MAX_TOKEN_CHARACTERS, MAX_PUBLIC_KEY_FILE_BYTES = 16_384, 65_536
"""Limits of a token and of a key file."""


class TokenKeyError(AuthenticationSetupError):
    """The key of a token issuer, a public key or a shared secret, cannot be used to check tokens. The text names the
    file and what was expected."""


class TokenChecker(Protocol):
    """Checks the JSON Web Tokens that clients show, and finds their users. A user has the rights that the token names:
    no file of users is read. Safe to use from several threads."""

    def find_user(self, token: str) -> User | None:
        """Return the user of a token (the text after `Bearer`). None if the token is forged, has expired, is not valid
        yet, names no time at which it expires (`exp`), or is no token."""


class OwnTokens:
    """Tokens that this node signs (RS256). The node's key for them (RSA, 2048 bits) is made for the first token and is
    never stored. A restart of the node thus ends all tokens. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: rsa.RSAPrivateKey | None = None

    def issue(self, name: str, permissions: list[str], privacy_key: str | None) -> str:
        """Return a new token for the user `name` with these permissions. It is valid for `TOKEN_LIFETIME_SECONDS`.
        `privacy_key` is in base64, or None. The first call takes longer: it makes the key."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "permissions": permissions,
            "username": name,
            "iat": now,
            "exp": now + TOKEN_LIFETIME_SECONDS,
        }
        if privacy_key is not None:
            claims["privacyPublicKey"] = privacy_key
        return jwt.encode(claims, self._private_key(), algorithm="RS256")

    def find_user(self, token: str) -> User | None:
        """Return the user of a token that this node issued since its start. None if the token is forged, has expired,
        is not valid yet, or is no token."""
        # Without a key no token was given, so every token is forged. A key that is made now could not check it.
        with self._lock:
            key = self._key
        return None if key is None else _checked(token, key.public_key(), "RS256")

    def _private_key(self) -> rsa.RSAPrivateKey:
        with self._lock:
            if self._key is None:
                self._key = rsa.generate_private_key(65537, 2048)
            return self._key


class ForeignTokens:
    """Tokens of another issuer. `file` has the issuer's public key (PEM), or the secret of at least 32 bytes that the
    issuer shares with this node if `algorithm` begins with HS. The file is read once, in the constructor. TokenKeyError
    if the key cannot be read or used with `algorithm`."""

    def __init__(self, file: Path, algorithm: str) -> None:
        self._algorithm = algorithm
        self._key = _foreign_key(file, algorithm)

    def find_user(self, token: str) -> User | None:
        """Return the user of a token of the other issuer. None if the token is forged, has expired, is not valid yet,
        names no time at which it expires (`exp`), or is no token."""
        return _checked(token, self._key, self._algorithm)


def _foreign_key(file: Path, algorithm: str) -> Any:
    text = _read(file)
    if algorithm.startswith("HS"):
        if len(text.strip()) < 32:
            raise TokenKeyError(f"{file}: a secret of 32 bytes or more was expected for {algorithm}")
        return text.strip()
    # The kind of key must fit the algorithm now. Otherwise every token would be refused later without a reason.
    expected = rsa.RSAPublicKey if algorithm.startswith("RS") else ec.EllipticCurvePublicKey
    kind = "RSA" if algorithm.startswith("RS") else "elliptic curve"
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        raise TokenKeyError(f"{file}: a public key in PEM was expected") from None
    if not isinstance(key, expected):
        raise TokenKeyError(f"{file}: the public key of an {kind} pair was expected for {algorithm}")
    return key


def _read(file: Path) -> bytes:
    try:
        return read_bounded(file, MAX_PUBLIC_KEY_FILE_BYTES)
    except OSError as error:
        raise TokenKeyError(f"{file}: {error.strerror}") from None


def _checked(token: str, key: Any, algorithm: str) -> User | None:
    if len(token) > MAX_TOKEN_CHARACTERS:
        return None
    # The algorithm is fixed by the settings. A token that names another one (such as `none`) is refused. A token without
    # an end would be valid forever, so `exp` is required.
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm], options={"require": ["exp"], "verify_aud": False})
    except (jwt.InvalidTokenError, jwt.InvalidKeyError):
        return None
    return _user(claims)


def _user(claims: Mapping[str, object]) -> User:
    permissions = claims.get("permissions")
    named = permissions if isinstance(permissions, list) else []
    return User(frozenset(name for name in named if isinstance(name, str)), _privacy_key(claims))


def _privacy_key(claims: Mapping[str, object]) -> bytes | None:
    # Another issuer may use `privacyUserId`, which counts first. The tokens of this node have `privacyPublicKey`.
    text = claims.get("privacyUserId") or claims.get("privacyPublicKey")
    if not isinstance(text, str):
        return None
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == 32 else None
