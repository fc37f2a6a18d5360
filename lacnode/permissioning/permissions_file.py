"""The file that holds the local lists: Besu's `permissions_config.toml`, read and written back.

Knows arrays of text under their keys, not what an account or an enode is. A file is replaced whole or not at all, except
where the place allows no replacing (a file mounted by itself), and no file is read beyond its bound.
"""

import os
import stat
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

MAX_PERMISSIONS_FILE_BYTES = 2**22
"""Bytes: about twenty thousand enodes."""


class PermissionsFileError(Exception):
    """A file that cannot be the rules of a node; one message, in Besu's words where Besu has them."""


class AllowlistKind(Enum):
    """The two lists; the value is the key, and `legacy_key` counts where the key is absent."""

    ACCOUNTS = "accounts-allowlist"
    NODES = "nodes-allowlist"

    @property
    def legacy_key(self) -> str:
        return self.value.replace("allowlist", "whitelist")


def read_entries(path: Path, kind: AllowlistKind) -> tuple[str, ...]:
    """The list as the file has it, in order; PermissionsFileError where there is none."""
    try:
        document = _parsed(_text(path))
    except (OSError, ValueError) as error:
        raise PermissionsFileError(f"Unable to read permissioning TOML config file : {path} {error}") from None
    entries = _entries(document, kind)
    if entries is None:
        raise PermissionsFileError(f"{kind.value} config option missing in TOML config file {path}")
    return entries


def stored_entries(path: Path, kind: AllowlistKind) -> tuple[str, ...]:
    """What stands under the list's own key, () if nothing does; OSError if the file cannot be read, ValueError if it
    cannot be understood."""
    value = _parsed(_text(path)).get(kind.value)
    return tuple(str(entry) for entry in value) if isinstance(value, list) else ()


def write_entries(path: Path, kind: AllowlistKind, entries: Sequence[str]) -> None:
    """Replace the list, in Besu's layout: the other list on a line of its own, then this one without an end of line.

    Comments and foreign keys are lost, as in Besu. The other list is kept even under its old name, which Besu drops: a
    node must find at its next start what it ran by. OSError if it cannot be done, ValueError if the file that is there
    cannot be understood; it is then untouched.
    """
    document = _parsed(_text(path))
    lines = []
    for other in AllowlistKind:
        kept = _entries(document, other)
        if other is not kind and kept is not None:
            lines.append(_line(other, kept) + "\n")
    data = ("".join(lines) + _line(kind, entries)).encode()
    if len(data) > MAX_PERMISSIONS_FILE_BYTES:
        raise OSError(f"{path}: the list would take more than {MAX_PERMISSIONS_FILE_BYTES} bytes")
    _replace(path.resolve(), data)


def _text(path: Path) -> str:
    """The file's text; OSError naming what is wrong with it in Besu's words."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(f"a file was expected, found a {'directory' if path.is_dir() else 'device or pipe'}")
        with path.open("rb") as file:
            data = file.read(MAX_PERMISSIONS_FILE_BYTES + 1)
    except FileNotFoundError:
        raise OSError(f"Configuration file does not exist: {path}") from None
    except PermissionError:
        raise OSError(f"Read access denied for file at: {path}") from None
    if len(data) > MAX_PERMISSIONS_FILE_BYTES:
        raise OSError(f"the file is larger than {MAX_PERMISSIONS_FILE_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise OSError(f"the file is not UTF-8 text: byte {error.start} is wrong") from None


def _parsed(text: str) -> Mapping[str, object]:
    """The document; ValueError in Besu's words if it is none."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"Invalid TOML configuration: \n{error}") from None
    if not document:
        raise ValueError(f"Empty TOML result: {text[:200]}")
    return document


def _entries(document: Mapping[str, object], kind: AllowlistKind) -> tuple[str, ...] | None:
    value = document.get(kind.value, document.get(kind.legacy_key))
    return tuple(str(entry) for entry in value) if isinstance(value, list) else None


def _line(kind: AllowlistKind, entries: Sequence[str]) -> str:
    return f"{kind.value}=[{','.join(_quoted(entry) for entry in entries)}]"


def _quoted(entry: str) -> str:
    """Addresses and enodes need no escapes; another list's foreign entry may."""
    escaped = entry.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def _replace(path: Path, data: bytes) -> None:
    if not os.access(path, os.W_OK):
        raise PermissionError(f"Write access denied for file at: {path}")
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        descriptor, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    except OSError:
        _overwrite(path, data)
        return
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(mode)
        _put_in_place(beside, path, data)
    finally:
        beside.unlink(missing_ok=True)


def _put_in_place(beside: Path, path: Path, data: bytes) -> None:
    try:
        beside.replace(path)
    except OSError:  # a mounted file has no other name
        _overwrite(path, data)


def _overwrite(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
