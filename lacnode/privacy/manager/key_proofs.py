"""Checks that a key is proven at the URL of its manager before a payload is sent there.

A lacnode manager proves its keys when it is asked. Orion cannot: its protocol has no proof. So a key without a proof is
accepted only at a URL that the operator has named, and only if the manager there refuses the question as an Orion does.
This module must not send anything but these questions.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from urllib.parse import urlsplit

from lacnode.privacy.keys import KeyRing, to_base64
from lacnode.privacy.manager.key_proof_exchange import ProofAnswer, request_proofs
from lacnode.privacy.manager.orion_party_info import is_same_manager
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.rate_limited_log import RateLimitedLog

PROVEN_SECONDS = 600.0
UNPROVEN_SECONDS = 60.0
"""How long a proof is valid, and how long an accepted missing proof is valid."""

MAX_REMEMBERED_PROOFS = 4096


class KeyProofStatus(Enum):
    """Whether payloads for a key may be sent to a URL.

    PROVEN and UNPROVEN allow it. UNPROVEN means that no proof is needed there. REFUSED: the manager does not prove the key.
    SILENT: the manager does not answer now.
    """

    PROVEN = "proven"
    UNPROVEN = "unproven"
    REFUSED = "refused"
    SILENT = "silent"


class KeyProofs:
    """Asks managers for proofs of their keys over `sender`, and remembers good answers. Safe to use from several
    threads.

    `unproven_at` are URLs where no proof is needed if the manager there does not know the question. `clock` returns
    monotonic seconds. A call blocks for the time of its requests, so the event loop must not make it.
    """

    def __init__(
        self,
        keys: KeyRing,
        sender: PeerSender,
        unproven_at: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._sender = sender
        self._unproven_at = tuple(unproven_at)
        self._clock = clock
        self._lock = threading.Lock()
        self._statuses: dict[tuple[bytes, str], tuple[KeyProofStatus, float]] = {}
        self._silent: dict[str, float] = {}
        # A manager can name a thousand keys as its own.
        self._log = RateLimitedLog("privacy", clock)

    def query_proof_statuses(self, urls_by_key: Mapping[bytes, str]) -> dict[bytes, KeyProofStatus]:
        """Return the status of each key (32 bytes) at its URL. PROVEN is remembered for `PROVEN_SECONDS`, UNPROVEN for
        `UNPROVEN_SECONDS`. For all other keys the managers are asked. EnclaveError `NoSenderKey` if this manager has no
        key."""
        found = {
            key: status for key, url in urls_by_key.items() if (status := self._known_status(key, url)) is not None
        }
        asked = {key: url for key, url in urls_by_key.items() if key not in found}
        for key, answer in request_proofs(self._keys.sender_pair(None), asked, self._sender).items():
            found[key] = self._judge_answer(key, asked[key], answer)
        return found

    def any_manager_may_be_orion(self, urls_by_key: Mapping[bytes, str]) -> bool:
        """Return True if the manager at one of the URLs may be an Orion: the URL is one of `unproven_at`, and its
        manager does not know the question for a proof. An Orion announces groups without a proof.

        `urls_by_key` has public keys (32 bytes) and their URLs: only keys that the manager there has named as its own.
        A manager is asked if its answer is not known. One that does not answer counts as no Orion, and this method does
        not ask it again within `UNPROVEN_SECONDS`. EnclaveError `NoSenderKey` if this manager has no key.
        """
        now = self._clock()
        with self._lock:
            # Any machine can ask this at any time, and a thread waits for the answers. A silent manager would occupy all
            # threads for other managers.
            self._silent = {url: until for url, until in self._silent.items() if now < until}
            silent = set(self._silent)
        listed = {key: url for key, url in urls_by_key.items() if url not in silent and self._needs_no_proof(url)}
        statuses = self.query_proof_statuses(listed)
        with self._lock:
            for key, status in statuses.items():
                if status is KeyProofStatus.SILENT:
                    self._silent[listed[key]] = self._clock() + UNPROVEN_SECONDS
        return KeyProofStatus.UNPROVEN in statuses.values()

    def _needs_no_proof(self, url: str) -> bool:
        return any(is_same_manager(url, listed) for listed in self._unproven_at)

    def _judge_answer(self, key: bytes, url: str, answer: ProofAnswer) -> KeyProofStatus:
        # Only good answers are remembered. A manager that was down, or is being updated, must be asked again at the next
        # payload, not a minute later.
        if answer is ProofAnswer.PROVES:
            return self._store_status(key, url, KeyProofStatus.PROVEN, PROVEN_SECONDS)
            # FAILS is not REFUSES: a manager that gives a false proof knows the question, so it is no Orion.
        if answer is ProofAnswer.REFUSES and self._needs_no_proof(url):
            text = f"the manager at {url} gives no proof of its key {to_base64(key)}, as an Orion"
            # One line for each host: only the operator names hosts that need no proof.
            self._log.warning(urlsplit(url).hostname, text)
            return self._store_status(key, url, KeyProofStatus.UNPROVEN, UNPROVEN_SECONDS)
        return KeyProofStatus.SILENT if answer is ProofAnswer.SILENT else KeyProofStatus.REFUSED

    def _known_status(self, key: bytes, url: str) -> KeyProofStatus | None:
        with self._lock:
            status, until = self._statuses.get((key, url), (None, 0.0))
            return status if self._clock() < until else None

    def _store_status(self, key: bytes, url: str, status: KeyProofStatus, seconds: float) -> KeyProofStatus:
        with self._lock:
            # The table is emptied as a whole. Each entry can be found again by one question, so a better rule is not
            # worth its code.
            if len(self._statuses) >= MAX_REMEMBERED_PROOFS:
                self._statuses.clear()
            self._statuses[key, url] = (status, self._clock() + seconds)
        return status
