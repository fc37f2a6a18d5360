"""Key files of Orion and Tessera: `X.pub`, one line of base64, and `X.key`, JSON that a password may lock.

The types are `unlocked`, Orion's `sodium-encrypted` (Argon2i13 of libsodium, secretbox) and Tessera's `argon2sbox`. Error
texts name the file and never quote its content.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nacl.bindings
import nacl.exceptions
import nacl.utils
from cryptography.hazmat.primitives.kdf.argon2 import Argon2d, Argon2i, Argon2id

from lacnode.privacy.keys import KEY_BYTES, KeyPair, from_base64, to_base64
from lacnode.storage.bounded_file import read_bounded

NONCE_BYTES, SALT_BYTES, MAC_BYTES = 24, 16, 16
OPSLIMIT, MEMLIMIT = 3, 268_435_456
MAX_KEY_FILE_BYTES = 65_536

ARGON2: dict[str, type[Argon2d] | type[Argon2i] | type[Argon2id]] = {"i": Argon2i, "d": Argon2d, "id": Argon2id}
MAX_KIBIBYTES, MAX_ITERATIONS, MAX_LANES = 4_194_304, 100, 64
"""The largest work that a key file may ask for."""


class PrivacyKeyError(Exception):
    """A key file or password file cannot be used, or key files are missing. The text names what was expected, and the
    file if one is wrong."""


def load_public_key(path: Path) -> bytes:
    """Return the public key (32 bytes) in base64 on the first line of `path`. PrivacyKeyError if there is none, or if
    the file cannot be read."""
    try:
        return from_base64(_read(path).partition("\n")[0].strip(), KEY_BYTES)
    except ValueError as error:
        raise PrivacyKeyError(f"{path}: a public key was expected on the first line: {error}") from None


def _load_key_pair(public: Path, private: Path, password: str | None = None) -> KeyPair:
    """Return the key pair of a public and a private key file. `password` opens a locked private key. PrivacyKeyError if
    a file cannot be used or the two do not belong together."""
    pair = KeyPair.from_private_bytes(load_private_key(private, password))
    # A wrong pair would announce one key and open boxes with another. No payload could ever be read.
    if pair.public != load_public_key(public):
        raise PrivacyKeyError(f"{private} is not the private key of {public}")
    return pair


def load_private_key(path: Path, password: str | None = None) -> bytes:
    """Return the private key (32 bytes) in the JSON file `path`. `password` opens a locked file, and is ignored for an
    unlocked one.

    PrivacyKeyError if the file cannot be read, has an unknown type, is locked without a password, or does not open.
    """
    kind, data = _read_private_key_file(path)
    try:
        if kind == "unlocked":
            return from_base64(data.get("bytes"), KEY_BYTES)
        if kind not in ("sodium-encrypted", "argon2sbox"):
            raise PrivacyKeyError(
                f"{path}: EnclaveUnsupportedPrivateKeyType: unlocked, sodium-encrypted or argon2sbox was expected"
            )
        if password is None:
            raise PrivacyKeyError(
                f"{path}: EnclaveMissingPrivateKeyPasswords: the key is locked, its password is missing"
            )
        return _open_sodium(data, password) if kind == "sodium-encrypted" else _open_argon2sbox(data, password)
    except nacl.exceptions.CryptoError:
        raise PrivacyKeyError(f"{path}: the password does not open this key") from None
    except ValueError as error:
        raise PrivacyKeyError(f"{path}: type {kind}: {error}") from None


def _read_private_key_file(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        document = json.loads(_read(path))
        kind, data = document["type"], document["data"]
        if not isinstance(kind, str) or not isinstance(data, dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise PrivacyKeyError(f"{path}: JSON with `type` and `data` was expected") from None
    return kind, data


def _open_sodium(data: dict[str, Any], password: str) -> bytes:
    # Orion stores the nonce before the box. The first 16 bytes of the nonce are the salt of the password, too.
    sealed = from_base64(data.get("bytes"), NONCE_BYTES + MAC_BYTES + KEY_BYTES)
    nonce, box = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    opened: bytes = nacl.bindings.crypto_secretbox_open(box, nonce, _sodium_key(password, nonce))
    return opened


def _sodium_key(password: str, nonce: bytes) -> bytes:
    key: bytes = nacl.bindings.crypto_pwhash_alg(
        KEY_BYTES,
        password.encode(),
        nonce[:SALT_BYTES],
        OPSLIMIT,
        MEMLIMIT,
        nacl.bindings.crypto_pwhash_ALG_ARGON2I13,
    )
    return key


def _open_argon2sbox(data: dict[str, Any], password: str) -> bytes:
    options = data.get("aopts")
    # The parameters come from the file. A file with a terabyte of memory as its parameter must not stop the machine.
    if not isinstance(options, dict) or options.get("variant") not in ARGON2:
        raise ValueError("`aopts` with variant i, d or id was expected")
    memory = _bounded(options, "memory", MAX_KIBIBYTES)
    iterations = _bounded(options, "iterations", MAX_ITERATIONS)
    lanes = _bounded(options, "parallelism", MAX_LANES)
    salt = from_base64(data.get("asalt"))
    nonce = from_base64(data.get("snonce"), NONCE_BYTES)
    box = from_base64(data.get("sbox"), MAC_BYTES + KEY_BYTES)
    kdf = ARGON2[options["variant"]](
        salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory
    )
    opened: bytes = nacl.bindings.crypto_secretbox_open(box, nonce, kdf.derive(password.encode()))
    return opened


def _bounded(options: dict[str, Any], name: str, most: int) -> int:
    value = options.get(name)
    # In Python a bool is an int. `true` in the file must not count as 1.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"`aopts.{name}` from 1 to {most} was expected")
    return value


def _load_passwords(path: Path) -> list[str]:
    """Return the passwords of a file: one on each line, in the order of the keys. Lines may be empty. PrivacyKeyError
    if it cannot be read."""
    return _read(path).splitlines()


def load_key_pairs(public: Sequence[Path], private: Sequence[Path], passwords: Path | None) -> list[KeyPair]:
    """Return the key pairs of these files in order, each opened with the password on its line of `passwords`. A key
    after the last line has no password. If `passwords` is None, no key has one.

    PrivacyKeyError if a file cannot be used or the numbers of files differ.
    """
    # The files are matched by their order. Different numbers mean that an option is incomplete.
    if len(public) != len(private):
        raise PrivacyKeyError(
            f"as many private as public key files were expected, found {len(private)} and {len(public)}"
        )
    # Fewer passwords than keys are allowed, as in Orion: unlocked keys at the end need no line.
    words = _load_passwords(passwords) if passwords is not None else []
    return [
        _load_key_pair(pub, key, words[index] if index < len(words) else None)
        for index, (pub, key) in enumerate(zip(public, private, strict=True))
    ]


def save_key_pair(name: Path, pair: KeyPair, password: str | None = None) -> None:
    """Write `<name>.pub` and `<name>.key`. Existing files are never overwritten.

    Only the owner can read the private key. A password locks it as Orion does, None or an empty one does not.
    PrivacyKeyError if a file exists or cannot be written: the private key may then have been written without the public
    one.
    """
    if password:
        nonce = nacl.utils.random(NONCE_BYTES)
        box = nacl.bindings.crypto_secretbox(pair.private, nonce, _sodium_key(password, nonce))
        kind, data = "sodium-encrypted", nonce + box
    else:
        kind, data = "unlocked", pair.private
    document = json.dumps({"data": {"bytes": to_base64(data)}, "type": kind})
    # The private key is written first. After a crash in between, its public key can be computed again.
    _create(name.with_name(name.name + ".key"), document, 0o600)
    _create(name.with_name(name.name + ".pub"), to_base64(pair.public), 0o644)


def _create(path: Path, text: str, mode: int) -> None:
    try:
        # O_EXCL: to overwrite a key would lose every payload for it. The mode is set at the creation, so that no other
        # user can open the file in between.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise PrivacyKeyError(f"{path} cannot be written: {error.strerror}") from None


def _read(path: Path) -> str:
    try:
        return read_bounded(path, MAX_KEY_FILE_BYTES).decode()
    except OSError as error:
        raise PrivacyKeyError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PrivacyKeyError(f"{path}: text was expected") from None
