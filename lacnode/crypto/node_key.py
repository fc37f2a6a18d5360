"""The node key: one secp256k1 key for devp2p and for the validator.

The file is as Besu keeps it: one line, `0x` and 64 hexadecimal digits. A missing file is made under a temporary name and
then renamed, so that no half of a key is ever read. A key file that is wrong is never overwritten.
"""

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from lacnode.crypto.secp256k1 import CURVE_ORDER, address_of, agree, public_key_of, sign
from lacnode.primitives.hexadecimal import from_hex, to_hex


class KeyFileError(Exception):
    """A key file cannot be used. The message names the file and the expected form, never its content."""


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A private key (32 bytes) with its public key (64 bytes, the node id) and address (20 bytes).

    It is a `NodeIdentity` whose key is in this process.
    """

    private_key: bytes = field(repr=False)
    public_key: bytes
    address: bytes

    @classmethod
    def from_private_key(cls, private_key: bytes) -> "NodeKey":
        """The key of 32 private bytes. ValueError for another length, or if the number is not at least 1 and below the
        curve's order."""
        if len(private_key) != 32 or not 0 < int.from_bytes(private_key) < CURVE_ORDER:
            raise ValueError("a private key is 32 bytes, between 1 and the curve's order")
        public_key = public_key_of(private_key)
        return cls(private_key, public_key, address_of(public_key))

    def sign(self, digest: bytes) -> bytes:
        """Return the 65-byte low-s signature `r || s || v` of a 32-byte digest, v 0 or 1. ValueError for a digest of
        another length."""
        return sign(digest, self.private_key)

    def agree(self, public_key: bytes) -> bytes:
        """Return the 32-byte ECDH secret with a 64-byte `public_key`: the X coordinate of the shared point, not hashed.
        ValueError if `public_key` is not a point of the curve."""
        return agree(self.private_key, public_key)

    @classmethod
    def generate(cls) -> "NodeKey":
        """Return a new random key. It is not saved."""
        while True:
            try:
                return cls.from_private_key(secrets.token_bytes(32))
            except ValueError:
                continue


def load_node_key(path: Path) -> NodeKey:
    """The key in the file at `path`: 64 hexadecimal digits, with or without `0x`. KeyFileError if the file is missing,
    unreadable or not a key."""
    try:
        text = path.read_text("ascii")
    except FileNotFoundError:
        raise KeyFileError(f"Private key file doesn't exist: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"Private key cannot be loaded from file {path}: {_reason(error)}") from None
    try:
        return NodeKey.from_private_key(from_hex(text.strip()))
    # The error of the parser is not part of the message: it could quote the key.
    except ValueError:
        raise KeyFileError(
            f"Private key cannot be loaded from file {path}: expected one line of 64 hexadecimal digits, "
            "optionally after 0x, that is a valid secp256k1 private key"
        ) from None


def load_or_create_node_key(path: Path) -> NodeKey:
    """Return the key in the file at `path`. If there is no file, make a random key and save it with mode 0600. A
    missing directory is made, too.

    KeyFileError if the file is not a key, or cannot be read or written.
    """
    try:
        is_there = path.exists()
    except OSError as error:
        # For example a directory that this user may not read. The key in it may exist, and another one would be wrong.
        raise KeyFileError(f"Private key cannot be loaded from file {path}: {_reason(error)}") from None
    if is_there:
        return load_node_key(path)
    key = NodeKey.generate()
    save_node_key(path, key)
    return key


def save_node_key(path: Path, key: NodeKey) -> None:
    """Write `key` to `path` atomically, with mode 0600. A missing directory is made, and an existing file is replaced.
    KeyFileError if that fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The mode is set when the file is made: with a later change, another user could open it in between.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(to_hex(key.private_key))
            file.flush()
            # The key must be on the disk before its name is. A crash could otherwise leave an empty key file.
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise KeyFileError(f"Private key file {path} cannot be written: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "not ASCII text"
