"""What a crash of the process leaves behind, for the next start to say.

The database is mapped into memory, so that reading damaged index pages can end the process by a signal, which no `except`
catches. Python's fault handler then writes where it happened. Must not be relied on for anything but a message.
"""

import faulthandler
from pathlib import Path
from typing import BinaryIO

import structlog

from lacnode.storage.disk import PRIVATE_FILE
from lacnode.storage.storage_errors import VERIFY_DATABASE_ADVICE

log = structlog.get_logger("node")

REPORT_FILE, OLD_REPORT_FILE = "crash.txt", "crash.txt.old"


class CrashReport:
    """The report of this run, in the data directory. OSError if it cannot be made."""

    def __init__(self, directory: Path) -> None:
        """Says first what the run before left."""
        self._path = directory / REPORT_FILE
        self._log_previous_crash()
        self._path.touch(PRIVATE_FILE)
        self._file: BinaryIO = self._path.open("wb")
        faulthandler.enable(self._file)

    def close(self) -> None:
        """The run ended in good order."""
        faulthandler.disable()
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _log_previous_crash(self) -> None:
        if self._path.exists() and self._path.stat().st_size:
            kept = self._path.with_name(OLD_REPORT_FILE)
            self._path.replace(kept)
            first = kept.read_text("utf-8", "replace").splitlines()[0]
            log.error(
                f"the last run crashed ({first}): the database may be damaged; {VERIFY_DATABASE_ADVICE}",
                report=str(kept),
            )
