"""`DATABASE_METADATA.json`: which program a data directory belongs to.

Besu keeps its database's version in a file of this name and refuses a version it does not know; lacnode writes one that
Besu never had, and refuses everything but its own. So neither opens the other's files by mistake. Must not look into
the database itself.
"""

import json
from pathlib import Path

from lacnode.storage.atomic_file import replace_text
from lacnode.storage.storage_errors import StorageForeignError, storage_error

METADATA_FILE = "DATABASE_METADATA.json"
FORMAT_VERSION = 648_002
"""Far from Besu's 1 and 2. Rises when an older lacnode can no longer read the files. 648002: values have checksums."""

UPGRADED_VERSIONS = (648_001,)
"""Versions that are brought up to date when they are opened (`checksum_upgrade`)."""


def claim_directory(directory: Path) -> None:
    """Make `directory` lacnode's, or check that it is; StorageForeignError if it is somebody else's.

    A directory of an older version is marked first and upgraded then: an older program must not open it half upgraded.
    """
    marker = directory / METADATA_FILE
    try:
        text = marker.read_text("utf-8")
    except FileNotFoundError:
        _refuse_unmarked(directory)
        _write(marker)
        return
    except (OSError, UnicodeDecodeError) as error:
        raise StorageForeignError(f"{marker} cannot be read: {error}") from None
    version = _version(text)
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
    return 1 if "v1" in document or "v2" in document else document.get("version")


def _refuse_unmarked(directory: Path) -> None:
    if (directory / "database" / "CURRENT").exists():
        raise StorageForeignError(
            f"{directory / 'database'} holds a RocksDB database; give lacnode its own --data-path"
        )


def _write(marker: Path) -> None:
    try:
        replace_text(marker, json.dumps({"version": FORMAT_VERSION, "software": "lacnode"}) + "\n")
    except OSError as error:
        raise storage_error(marker, "writing", error) from None
