"""The payloads that were read and cannot be executed, so that they are not read again for each of their markers.

Any account can send thousands of markers of one payload in a block. A payload of 15 MB takes a tenth of a second to read.
This module must not read a payload.
"""

import math
import threading
import time
from collections.abc import Callable

from lacnode.privacy.state.private_payloads import ForeignPayloadError, UnusablePayloadError

MAX_USELESS_PAYLOADS = 10_000
"""The largest number of payloads that are remembered."""

FOREIGN_SECONDS = 5.0
"""The time after which a payload that does not belong to its group is read again. The manager may know the group by then."""


class UselessPayloads:
    """The reasons why payloads cannot be executed, by the key of the payload. Safe to use from any thread. `clock`
    returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reasons: dict[tuple[bytes, bool], tuple[type[UnusablePayloadError], str, float]] = {}

    def raise_if_useless(self, payload_key: bytes, *, admitted: bool) -> None:
        """Raise the UnusablePayloadError that was recorded for the payload `payload_key` (32 bytes) with the same
        `admitted` (as in `PayloadReader.read_task`). A ForeignPayloadError is raised for `FOREIGN_SECONDS` only. No
        effect if no error is recorded."""
        with self._lock:
            kind, text, until_seconds = self._reasons.get((payload_key, admitted), (UnusablePayloadError, "", 0.0))
        if self._clock() < until_seconds:
            raise kind(text)

    def record(self, payload_key: bytes, error: UnusablePayloadError, *, admitted: bool) -> None:
        """Record that the payload `payload_key` (32 bytes) cannot be executed because of `error`. `admitted` is as in
        `PayloadReader.read_task`. Above `MAX_USELESS_PAYLOADS` the oldest one is forgotten."""
        # A payload of this name never changes. But whether it belongs to its group depends on the groups of the manager.
        is_foreign = isinstance(error, ForeignPayloadError)
        until_seconds = self._clock() + FOREIGN_SECONDS if is_foreign else math.inf
        with self._lock:
            self._reasons.pop((payload_key, admitted), None)
            # The error itself would keep all frames that it has passed.
            self._reasons[payload_key, admitted] = type(error), str(error), until_seconds
            if len(self._reasons) > MAX_USELESS_PAYLOADS:
                del self._reasons[next(iter(self._reasons))]
