"""Unexpected errors in the work for one group. They cost that group alone, and the work goes on with the others.

A member can write any contract and any payload. An error that the code does not expect must not end a loop over all groups.
This module must not repeat the work.
"""

import threading
import time

from lacnode.evm.budget import ExecutionInterruptedError
from lacnode.privacy.keys import to_base64
from lacnode.privacy.transaction_manager import EnclaveUnreachableError
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.storage.storage_errors import DamagedValueError, StorageError

MAX_LOGGED_FAILURES = 1_024
"""The largest number of failures that are remembered as logged. The oldest one is then logged again when it recurs."""

_NODE_ERRORS = (ExecutionInterruptedError, EnclaveUnreachableError, StorageError, MemoryError)
_PRIVATE_TABLES = "private_"


class GroupFailures:
    """Counts the unexpected errors in the work for single groups. For each group and each kind of work, only the first
    error is logged. Later ones are counted. The log has one line a minute for each kind of work at most. Safe to use
    from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._logged: dict[tuple[bytes, str], None] = {}
        self._log = RateLimitedLog("privacy", time.monotonic)

    @property
    def count(self) -> int:
        """The number of failures of single groups since the start. 0 before the first one."""
        return self._count

    def record_or_reraise(self, group_id: bytes, work: str, error: Exception) -> None:
        """Count and log that `work` (a few words for the log) failed for the group `group_id` (32 bytes). Call it while
        `error` is handled. `group_id` is a payload's key (32 bytes) where the group is not known yet.

        If the cause is not this group, `error` is raised again and not counted: ExecutionInterruptedError,
        EnclaveUnreachableError, MemoryError, or StorageError except for a damaged value of a private table.
        """
        if _is_of_node(error):
            raise error
        with self._lock:
            self._count += 1
            if (group_id, work) in self._logged:
                return
            self._logged[group_id, work] = None
            if len(self._logged) > MAX_LOGGED_FAILURES:
                del self._logged[next(iter(self._logged))]
            # A stranger can have any number of groups. Each is logged once, and one line a minute for each kind of work.
            text = f"{work} failed for one privacy group, the others go on"
            self._log.exception(work, text, group=to_base64(group_id), error=type(error).__name__)


def _is_of_node(error: Exception) -> bool:
    # A damaged value of a private table belongs to one group. A damaged public state concerns all groups, and the node
    # repairs it.
    if isinstance(error, DamagedValueError):
        return not error.table.startswith(_PRIVATE_TABLES)
    return isinstance(error, _NODE_ERRORS)
