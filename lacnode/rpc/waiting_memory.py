"""The memory of the parsed requests that wait for a reader process, counted over all connections of a node.

The ports bound the bytes of JSON text. A parsed text may take twenty times as much, and a call may wait for a minute. Use it
on the event loop.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from lacnode.rpc.errors import BusyError
from lacnode.rpc.fair_limiter import TOO_MANY, TOO_MANY_OF_CLIENT

WAITING_BYTES_PER_CLIENT, WAITING_BYTES = 24 * 2**20, 48 * 2**20
"""Bytes of memory that the parsed requests of one address, and of all addresses, may take while they wait for a reader and
are answered by it. One request is taken in any case."""

VALUE_BYTES = 200
"""Estimated bytes of one parsed value, besides its text: a small object takes 184."""

WIDEST_CHARACTER_BYTES = 4


class WaitingRequestMemory:
    """Counts the memory of the parsed requests that wait for a reader. Replies do not count. Use it on the event
    loop."""

    def __init__(self) -> None:
        self._held_bytes: dict[str, int] = {}

    @contextmanager
    def hold(self, request: bytes, client: str) -> Iterator[None]:
        """Count the estimated memory of the parsed `request` (the JSON text) for the address `client` in the `with`
        block. BusyError if other requests of this address wait already and would take too much memory together with
        this one. BusyError also if that holds for the requests of all addresses."""
        size = estimate_parsed_bytes(request)
        held = self._held_bytes.get(client, 0)
        if held and held + size > WAITING_BYTES_PER_CLIENT:
            raise BusyError("Too many bytes of this client are waiting", TOO_MANY_OF_CLIENT)
        total = sum(self._held_bytes.values())
        if total and total + size > WAITING_BYTES:
            raise BusyError("Too many bytes are waiting", TOO_MANY)
        self._held_bytes[client] = held + size
        try:
            yield
        finally:
            self._held_bytes[client] -= size
            if not self._held_bytes[client]:
                del self._held_bytes[client]


def estimate_parsed_bytes(request: bytes) -> int:
    """Return the estimated bytes of memory of a JSON text after it was parsed."""
    # Each character of a text takes as many bytes as its widest one: up to four.
    is_narrow = request.isascii() and b"\\u" not in request
    width = 1 if is_narrow else WIDEST_CHARACTER_BYTES
    return width * len(request) + VALUE_BYTES * sum(map(request.count, (b",", b"[", b"{")))
