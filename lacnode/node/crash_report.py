"""The report of a crash of the process, for the next start to log.

The database is mapped into memory, so that reading damaged index pages can end the process by a signal, which no
`except` catches. Python's fault handler then writes the place in the code. Must not be relied on for anything but a
message.
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
        """Log that the run before crashed, if it left a report, and keep that as `OLD_REPORT_FILE`. Begin an empty
        report, to which Python's fault handler writes if this process crashes. `directory` is the data directory."""
        self._path = directory / REPORT_FILE
        # Before the file is opened, which empties it.
        self._log_previous_crash()
        self._path.touch(PRIVATE_FILE)
        self._file: BinaryIO = self._path.open("wb")
        # The file must be open already: the handler runs in a broken process, in which nothing can be opened any more.
        faulthandler.enable(self._file)

    def delete(self) -> None:
        """Close and delete the report, because the run has ended without a crash."""
        faulthandler.disable()
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _log_previous_crash(self) -> None:
        # An empty file is left behind by a kill or a power cut. Only the fault handler writes to it.
        if self._path.exists() and self._path.stat().st_size:
            kept = self._path.with_name(OLD_REPORT_FILE)
            self._path.replace(kept)
            first = kept.read_text("utf-8", "replace").splitlines()[0]
            log.error(
                f"the last run crashed ({first}): the database may be damaged; {VERIFY_DATABASE_ADVICE}",
                report=str(kept),
            )
