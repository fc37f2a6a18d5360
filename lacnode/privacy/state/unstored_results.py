"""The bound for the results of private transactions that wait in memory for one commit.

The public chain does not pay for them. A block may have thousands of markers, and each result may take some MiB. This module
must not know groups or senders.
"""

from lacnode.evm.budget import BudgetExceededError
from lacnode.evm.private_message import PrivateResult

MAX_UNSTORED_BYTES = 33_554_432
"""The largest size of the results that wait for one commit. The next large result waits for a later commit."""

LARGE_RESULT_BYTES = 65_536
"""The size up to which a result is not large."""

MAX_ALL_UNSTORED_BYTES = 67_108_864
"""The same bound for results that are not large. They are allowed more: an honest transaction must not wait for strangers'
large results in its block."""

MAX_UNDIVIDED_BYTES = 268_435_456
"""The largest size of results that must be one commit: of a group that is executed again, and of a history."""

LOG_OBJECT_BYTES = 512
"""About the memory of a log without its topics and data. One private transaction may write 200,000 empty logs."""


class ResultMustWaitError(BudgetExceededError):
    """A result has no place in this commit. The transaction has to be executed again, for a later commit."""


class ResultsTooLargeError(Exception):
    """Results that must be one commit are larger than `MAX_UNDIVIDED_BYTES`."""


class UnstoredResults:
    """The size of the results that are not stored yet. The attribute `may_wait`, which a caller may set, says that a
    result may wait for a later commit. It is False at first."""

    def __init__(self) -> None:
        self.may_wait = False
        self._bytes = 0

    def add(self, result: PrivateResult) -> None:
        """Count `result`. If results may wait (`may_wait`), ResultMustWaitError if `result` has no place in this
        commit. The first one always has. If they may not wait, ResultsTooLargeError if all together are larger than
        `MAX_UNDIVIDED_BYTES`. After an error `result` is not counted."""
        size = _result_bytes(result)
        if not self.may_wait:
            if self._bytes + size > MAX_UNDIVIDED_BYTES:
                raise ResultsTooLargeError
        # The first one never waits. It would be as large at each later try, and its group would wait for ever.
        elif self._bytes and self._bytes + size > _bound_of(size):
            raise ResultMustWaitError
        self._bytes += size


def _bound_of(size: int) -> int:
    return MAX_UNSTORED_BYTES if size > LARGE_RESULT_BYTES else MAX_ALL_UNSTORED_BYTES


def _result_bytes(result: PrivateResult) -> int:
    # A revert uses no nonce, so one payload may give its reason at each of a thousand markers.
    size = len(result.output) + len(result.revert_reason or b"")
    size += sum(LOG_OBJECT_BYTES + 32 * len(entry.topics) + len(entry.data) for entry in result.logs)
    return size + sum(map(len, (result.nodes or {}).values()))
