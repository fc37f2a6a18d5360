"""The rate of calls to URLs where no manager has answered yet.

Strangers announce URLs. Each URL may be a machine that has nothing to do with managers, and this manager must not flood it
in their name. This module must not call any URL.
"""

import threading
import time
from collections.abc import Callable

from lacnode.fair_share import TokenBucket
from lacnode.privacy.manager.peer_directory import PeerDirectory

UNANSWERED_CALLS_PER_SECOND, UNANSWERED_CALLS_AT_ONCE = 1.0, 60
"""The rate of calls to all URLs together where no manager has answered yet, and how many calls may come at once."""


class UnansweredUrlLimit:
    """Limits the calls of one kind to URLs where no manager has answered yet, as far as `peers` knows. URLs of the
    operator, and those where a manager has answered, have no limit here. Safe to use from several threads. `clock`
    returns monotonic seconds.

    Each kind of call has a limit of its own. Payloads that are asked for must not use up the calls by which new
    managers are found.
    """

    def __init__(self, peers: PeerDirectory, clock: Callable[[], float] = time.monotonic) -> None:
        self._peers = peers
        self._clock = clock
        self._lock = threading.Lock()
        self._bucket = TokenBucket(UNANSWERED_CALLS_PER_SECOND, UNANSWERED_CALLS_AT_ONCE)

    def take_call(self, url: str) -> bool:
        """Return True if `url` may be called now. The call then counts. The caller makes no call if it is False."""
        if self._peers.has_answered(url):
            return True
        with self._lock:
            now = self._clock()
            if self._bucket.wait_seconds(now) > 0.0:
                return False
            self._bucket.spend(1.0, now)
            return True
