"""Keys that two managers say to have. Orion believes whoever said so first, for ever; here a manager that proves its key
takes the place of one that does not, so that neither a stranger nor a manager's own former address keeps payloads from it.

Without a proof the first claim stands, as in Orion. Must not take a claim for more than it proves.
"""

import threading
import time
from collections.abc import Callable

import structlog

from lacnode.privacy.keys import KeyRing, to_text
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.privacy.manager.peers import Peers
from lacnode.privacy.manager.proof import is_proven

log = structlog.get_logger("privacy")

LOOK_AGAIN = 60.0
"""Seconds for which a claim that was looked at is not looked at again."""

MAX_REMEMBERED = 4096


class Claims:
    """Asks for proofs over `sender`. Safe from several threads, none of them the event loop's."""

    def __init__(
        self, keys: KeyRing, peers: Peers, sender: PeerSender, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._peers = peers
        self._sender = sender
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[bytes, str], float] = {}

    def settle(self) -> None:
        """Look at what was claimed since the last time."""
        for key, url in self._peers.take_rivals():
            if self._is_due(key, url):
                self._look_at(key, url)

    def _is_due(self, key: bytes, url: str) -> bool:
        with self._lock:
            now = self._clock()
            if len(self._seen) >= MAX_REMEMBERED:
                self._seen = {place: seen for place, seen in self._seen.items() if now - seen < LOOK_AGAIN}
            if now - self._seen.get((key, url), -LOOK_AGAIN) < LOOK_AGAIN or len(self._seen) >= MAX_REMEMBERED:
                return False
            self._seen[key, url] = now
            return True

    def _look_at(self, key: bytes, url: str) -> None:
        name = to_text(key)
        if self._keys.pair_of(key) is not None:
            log.warning(f"the manager at {url} says to have the key {name}, which is this manager's")
            return
        known, own = self._peers.url_of(key), self._keys.sender(None)
        if not is_proven(own, key, url, self._sender):
            log.warning(f"the manager at {url} says to have the key {name}, and does not prove it: {known} is used")
        elif known is not None and is_proven(own, key, known, self._sender):
            log.warning(f"two managers have the private key of {name}: {known}, which is used, and {url}")
        else:
            self._peers.move(key, url)
            log.warning(f"the key {name} is at {url} now, which proves it; {known} did not")
