"""Decides about keys that two managers claim to have.

Orion believes the first claim for ever. Here a manager that proves its key replaces a manager that does not. So neither a
false claim nor an old address of a manager can divert its payloads. Without any proof the first claim stays, as in Orion.
This module must not believe more of a claim than it proves.
"""

import threading
import time
from collections.abc import Callable

from lacnode.privacy.keys import KeyRing, to_base64
from lacnode.privacy.manager.key_proof_exchange import proves_key
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.privacy.manager.unanswered_urls import UnansweredUrlLimit
from lacnode.rate_limited_log import RateLimitedLog

CLAIM_RECHECK_SECONDS = 60.0
"""A claim that was verified is not verified again for this time."""

MAX_REMEMBERED_CLAIMS = 4096


class RivalKeyClaims:
    """Decides which manager has a key that two managers claim, by proofs that it asks for over `sender`. A key that one
    manager alone claims is not verified here: the directory uses the first claim without a proof. Safe to use from
    several threads. A call blocks, so the event loop must not make it."""

    def __init__(
        self, keys: KeyRing, peers: PeerDirectory, sender: PeerSender, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._peers = peers
        self._sender = sender
        self._clock = clock
        self._limit = UnansweredUrlLimit(peers, clock)
        self._lock = threading.Lock()
        self._seen: dict[tuple[bytes, str], float] = {}
        # A stranger can make claims under any number of URLs. One line for each would fill the disk.
        self._log = RateLimitedLog("privacy", clock)

    def verify_claims(self) -> None:
        """Verify the rival claims that arrived at the directory since the last call. A manager that proves a key takes
        the place of one that does not, in the directory. Every other result is only logged, and so is a claim of an own
        key, for which no manager is asked. A claim that was verified in the last `CLAIM_RECHECK_SECONDS` is dropped,
        and so is one beyond `MAX_REMEMBERED_CLAIMS` or beyond the limit of calls to URLs where no manager has answered
        yet.

        This blocks for the time of two requests at most for each claim. A manager that does not answer proves nothing
        and raises no error. EnclaveError `NoSenderKey` if this manager has no key of its own.
        """
        # Any manager can make claims for free. Each claim costs calls, so a claim is verified once a minute at most.
        for key, url in self._peers.pop_rival_claims():
            if self._is_due(key, url):
                self._verify_claim(key, url)

    def _is_due(self, key: bytes, url: str) -> bool:
        with self._lock:
            now = self._clock()
            # A full table refuses new claims until older ones expire. To drop an old claim would let it be verified
            # again at once.
            if len(self._seen) >= MAX_REMEMBERED_CLAIMS:
                self._seen = {place: seen for place, seen in self._seen.items() if now - seen < CLAIM_RECHECK_SECONDS}
            if (
                now - self._seen.get((key, url), -CLAIM_RECHECK_SECONDS) < CLAIM_RECHECK_SECONDS
                or len(self._seen) >= MAX_REMEMBERED_CLAIMS
            ):
                return False
            self._seen[key, url] = now
            return True

    def _verify_claim(self, key: bytes, url: str) -> None:
        name = to_base64(key)
        # A claim of an own key is never verified: this manager knows where the key is. It may be an attack, or a
        # second manager with a copy of the key file, so an operator must read of it.
        if self._keys.find_pair(key) is not None:
            self._log.warning(
                ("own", key), f"the manager at {url} says to have the key {name}, which is this manager's"
            )
            return
        known, own = self._peers.url_of(key), self._keys.sender_pair(None)
        # A manager that was called for its party info makes its claim in the answer. So it needs nothing of this limit.
        if not self._limit.take_call(url):
            return
        # The new claim is asked first. Most claims fail here, and then the known manager is not called at all.
        if not proves_key(own, key, url, self._sender):
            text = f"the manager at {url} says to have the key {name}, and does not prove it: {known} is used"
            self._log.warning("unproven", text)
            # Both have the private key. A change would let each of them take the payloads from the other at any time.
        elif known is not None and proves_key(own, key, known, self._sender):
            text = f"two managers have the private key of {name}: {known}, which is used, and {url}"
            self._log.warning("two", text)
        else:
            self._peers.set_key_url(key, url)
            self._log.warning("moved", f"the key {name} is at {url} now, which proves it; {known} did not")
