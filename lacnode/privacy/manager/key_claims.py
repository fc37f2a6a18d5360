"""Keys that two managers say to have. Orion believes whoever said so first, for ever; here a manager that proves its key
takes the place of one that does not, so that neither a stranger nor a manager's own former address keeps payloads from it.

Without a proof the first claim stands, as in Orion. Must not take a claim for more than it proves.
"""

import threading
import time
from collections.abc import Callable

import structlog

from lacnode.privacy.keys import KeyRing, to_base64
from lacnode.privacy.manager.key_proof_exchange import proves_key
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.peer_sender import PeerSender

log = structlog.get_logger("privacy")

CLAIM_RECHECK_SECONDS = 60.0
"""Seconds for which a claim that was looked at is not looked at again."""

MAX_REMEMBERED_CLAIMS = 4096


class KeyClaims:
    """Asks for proofs over `sender`. Safe from several threads, none of them the event loop's."""

    def __init__(
        self, keys: KeyRing, peers: PeerDirectory, sender: PeerSender, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._peers = peers
        self._sender = sender
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[bytes, str], float] = {}

    def verify_claims(self) -> None:
        """Look at what was claimed since the last time."""
        for key, url in self._peers.pop_rival_claims():
            if self._is_due(key, url):
                self._look_at(key, url)

    def _is_due(self, key: bytes, url: str) -> bool:
        with self._lock:
            now = self._clock()
            if len(self._seen) >= MAX_REMEMBERED_CLAIMS:
                self._seen = {place: seen for place, seen in self._seen.items() if now - seen < CLAIM_RECHECK_SECONDS}
            if (
                now - self._seen.get((key, url), -CLAIM_RECHECK_SECONDS) < CLAIM_RECHECK_SECONDS
                or len(self._seen) >= MAX_REMEMBERED_CLAIMS
            ):
                return False
            self._seen[key, url] = now
            return True

    def _look_at(self, key: bytes, url: str) -> None:
        name = to_base64(key)
        if self._keys.find_pair(key) is not None:
            log.warning(f"the manager at {url} says to have the key {name}, which is this manager's")
            return
        known, own = self._peers.url_of(key), self._keys.sender(None)
        if not proves_key(own, key, url, self._sender):
            log.warning(f"the manager at {url} says to have the key {name}, and does not prove it: {known} is used")
        elif known is not None and proves_key(own, key, known, self._sender):
            log.warning(f"two managers have the private key of {name}: {known}, which is used, and {url}")
        else:
            self._peers.move(key, url)
            log.warning(f"the key {name} is at {url} now, which proves it; {known} did not")
