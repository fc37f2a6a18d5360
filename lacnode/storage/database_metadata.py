"""`DATABASE_METADATA.json`: the file that says which program a data directory belongs to.

Besu keeps the version of its database in a file of this name, and refuses a version that it does not know. lacnode writes a
version that Besu never had, and accepts its own versions only. So neither program opens the files of the other by mistake.
This file must not look into the database itself.
"""

import json
from pathlib import Path

from lacnode.storage.atomic_file import replace_text
from lacnode.storage.storage_errors import StorageForeignError, storage_error

METADATA_FILE = "DATABASE_METADATA.json"
FORMAT_VERSION = 648_002
"""Far from Besu's 1 and 2. It rises when an older lacnode can no longer read the files. 648002: values have checksums."""

UPGRADED_VERSIONS = (648_001,)
"""Versions that are upgraded when they are opened (`checksum_upgrade`)."""


def claim_directory(directory: Path) -> None:
    """Mark the existing `directory` as lacnode's, or check that it is. Raises StorageForeignError if another program
    owns it, or if the mark is unreadable or of an unknown version.

    Raises StorageError if the mark cannot be written. The mark of an older version is replaced before the upgrade: an
    older program must not open a directory that is half upgraded.
    """
    marker = directory / METADATA_FILE
    try:
        text = marker.read_text("utf-8")
    except FileNotFoundError:
        # A missing file is no proof of an empty directory: very old versions of Besu wrote none.
        _refuse_unmarked(directory)
        _write(marker)
        return
    except (OSError, UnicodeDecodeError) as error:
        raise StorageForeignError(f"{marker} cannot be read: {error}") from None
    version = _version(text)
    # From the known to the foreign: each case has its own text, because the operator's next step differs.
    if version in UPGRADED_VERSIONS:
        _write(marker)
        return
    if version == FORMAT_VERSION:
        return
    if version in (1, 2):
        raise StorageForeignError(
            f"{directory} holds a database of Besu ({marker.name}); give lacnode its own --data-path"
        )
    raise StorageForeignError(f"{marker}: version {FORMAT_VERSION} was expected, found {text.strip()[:80]!r}")


def _version(text: str) -> object:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    # Besu nests its version by storage format in newer releases.
    return 1 if "v1" in document or "v2" in document else document.get("version")


def _refuse_unmarked(directory: Path) -> None:
    # `CURRENT` is the file that every RocksDB database has. LMDB has none of this name.
    if (directory / "database" / "CURRENT").exists():
        raise StorageForeignError(
            f"{directory / 'database'} holds a RocksDB database; give lacnode its own --data-path"
        )


def _write(marker: Path) -> None:
    try:
        replace_text(marker, json.dumps({"version": FORMAT_VERSION, "software": "lacnode"}) + "\n")
    except OSError as error:
        raise storage_error(marker, "writing", error) from None
