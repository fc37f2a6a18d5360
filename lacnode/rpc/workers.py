"""The threads that methods run in.

Few, because each makes the event loop, and so consensus, wait for the interpreter lock. Private methods have threads of
their own: they wait for a transaction manager, which may take its time, and public ones must not wait for it with them.
"""

import re

import trio

WORKERS = 4
"""Methods that run at once, over all connections, public and private ones each."""

_PRIVATE = re.compile(rb'"(?:eea_|privx?_|lac_\w*[pP]riva)')


class Workers:
    """Which threads a request may use."""

    def __init__(self) -> None:
        self._public = trio.CapacityLimiter(WORKERS)
        self._private = trio.CapacityLimiter(WORKERS)

    def of(self, request: bytes) -> trio.CapacityLimiter:
        """The threads for a request's JSON text. A batch with one private call is a private one; who hides a name behind
        escapes waits among the public ones."""
        return self._private if _PRIVATE.search(request) else self._public
