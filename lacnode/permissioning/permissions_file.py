"""The file of the local lists: Besu's `permissions_config.toml`. This module reads it and writes it back.

It knows arrays of text under their keys, not accounts or enodes. A file is replaced as a whole or not at all. The
exception is a file that is mounted by itself, which cannot be replaced. No read goes beyond the size limit.
"""

import os
import stat
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

MAX_PERMISSIONS_FILE_BYTES = 2**22
"""The largest size of the file. It has space for about twenty thousand enodes."""


class PermissionsFileError(Exception):
    """The file cannot be read or has no valid list. The text is Besu's where Besu has one."""


class AllowlistKind(Enum):
    """The two lists of the file. The value is the key in the file. `legacy_key` counts if the file does not have this
    key."""

    ACCOUNTS = "accounts-allowlist"
    NODES = "nodes-allowlist"

    @property
    def legacy_key(self) -> str:
        """The key of the list in files of earlier releases of Besu, such as `nodes-whitelist`."""
        return self.value.replace("allowlist", "whitelist")


def read_entries(path: Path, kind: AllowlistKind) -> tuple[str, ...]:
    """Return the list `kind` of the file in its order, as texts that are not checked. It is the list under the key
    `kind.value`. If the file does not have this key, it is the list under `kind.legacy_key`.

    PermissionsFileError if the file cannot be read, is not valid TOML, is larger than `MAX_PERMISSIONS_FILE_BYTES` or
    does not have the list.
    """
    try:
        document = _parse(_read_text(path))
    except (OSError, ValueError) as error:
        raise PermissionsFileError(f"Unable to read permissioning TOML config file : {path} {error}") from None
    entries = _find_entries(document, kind)
    if entries is None:
        raise PermissionsFileError(f"{kind.value} config option missing in TOML config file {path}")
    return entries


def read_entries_without_legacy_key(path: Path, kind: AllowlistKind) -> tuple[str, ...]:
    """Return the list `kind` under its own key (`AllowlistKind.value`) in the order of the file, as texts that are not
    checked. () if the file does not have this key, also if it has the legacy key.

    OSError if the file cannot be read or is too large. ValueError if it is empty or not valid TOML.
    """
    # Unlike in `read_entries`, the old key does not count here. Besu looks at the new key alone before it writes.
    value = _parse(_read_text(path)).get(kind.value)
    return tuple(str(entry) for entry in value) if isinstance(value, list) else ()


def write_entries(path: Path, kind: AllowlistKind, entries: Sequence[str]) -> None:
    """Replace the list `kind` in the file. The layout is Besu's: the other list on its own line, then this list without
    an end of line.

    The file must exist. Comments and unknown keys are lost, as in Besu. The other list is kept. If the file has it
    under the legacy key, it is written under the new key.
    OSError if the file cannot be read or written, or would be larger than `MAX_PERMISSIONS_FILE_BYTES`. ValueError if
    the file is empty or not valid TOML. The file is unchanged after an error, unless it is mounted by itself: such a
    file is overwritten in place.
    """
    document = _parse(_read_text(path))
    lines = []
    # Besu drops the other list if it has the old key. Here it stays: the node must find the same rules at the next start.
    # Both lists may be in this one file. A change of one list must not lose the other.
    for other in AllowlistKind:
        kept = _find_entries(document, other)
        if other is not kind and kept is not None:
            lines.append(_format_list(other, kept) + "\n")
    data = ("".join(lines) + _format_list(kind, entries)).encode()
    # The node could not read a larger file at its next start.
    if len(data) > MAX_PERMISSIONS_FILE_BYTES:
        raise OSError(f"{path}: the list would take more than {MAX_PERMISSIONS_FILE_BYTES} bytes")
    _replace_file(path.resolve(), data)


def _read_text(path: Path) -> str:
    """Return the text of the file. OSError with Besu's text if that fails."""
    try:
        # A pipe or a device could block the node for ever, or give bytes without an end.
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


def _parse(text: str) -> Mapping[str, object]:
    """Return the document. ValueError with Besu's text if the TOML is not valid."""
    try:
        document = tomllib.loads(text)
        # Deeply nested brackets exhaust the recursion of the TOML parser. That must not stop the node either.
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"Invalid TOML configuration: \n{error}") from None
    if not document:
        # Besu takes an empty file for a mistake. A file without lists would otherwise look like an empty list.
        raise ValueError(f"Empty TOML result: {text[:200]}")
    return document


def _find_entries(document: Mapping[str, object], kind: AllowlistKind) -> tuple[str, ...] | None:
    # A value that is no list counts as an absent key.
    value = document.get(kind.value, document.get(kind.legacy_key))
    return tuple(str(entry) for entry in value) if isinstance(value, list) else None


def _format_list(kind: AllowlistKind, entries: Sequence[str]) -> str:
    return f"{kind.value}=[{','.join(_quote(entry) for entry in entries)}]"


def _quote(entry: str) -> str:
    """Return a TOML string. Addresses and enodes need no escapes, but an entry that was in the other list may."""
    escaped = entry.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def _replace_file(path: Path, data: bytes) -> None:
    # The new file below would replace a read-only file, because the folder decides about that. The operator's read-only
    # mark must count.
    if not os.access(path, os.W_OK):
        raise PermissionError(f"Write access denied for file at: {path}")
    mode = stat.S_IMODE(path.stat().st_mode)
    # The new content goes to a file beside the old one. A crash at any point leaves the old file or the new one, never
    # half a list. Half a list would refuse nodes or accounts at the next start.
    try:
        descriptor, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    except OSError:
        # The folder is read-only, but the file is not: usual for a file that is mounted into a container.
        _overwrite(path, data)
        return
    new_file = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            # Without fsync, a power failure after the rename could leave an empty file under the final name.
            os.fsync(file.fileno())
        new_file.chmod(mode)
        # mkstemp gives the mode 0600. The operator's tools must be able to read the file as before.
        _move_or_overwrite(new_file, path, data)
    finally:
        new_file.unlink(missing_ok=True)


def _move_or_overwrite(new_file: Path, path: Path, data: bytes) -> None:
    try:
        new_file.replace(path)
    except OSError:
        # A file that is mounted by itself cannot be replaced by a rename (EBUSY). It can be overwritten.
        _overwrite(path, data)


def _overwrite(path: Path, data: bytes) -> None:
    # "r+b" keeps the file itself and its mode. A mounted file cannot be created again. A shorter list needs the truncation:
    # the end of the old text would otherwise remain.
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
