"""Checks that a key is proven at the URL of its manager before a payload is sent there.

A lacnode manager proves its keys when it is asked. Orion cannot: its protocol has no proof. So a key without a proof is
accepted only at a URL that the operator has named, and only if the manager there refuses the question as an Orion does.
This module must not send anything but these questions.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from urllib.parse import urlsplit

from lacnode.privacy.keys import KeyRing, to_base64
from lacnode.privacy.manager.key_proof_exchange import ProofAnswer, request_proofs
from lacnode.privacy.manager.orion_party_info import ManagerAddress, is_same_manager, manager_address
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.rate_limited_log import RateLimitedLog

PROVEN_SECONDS = 600.0
UNPROVEN_SECONDS = 60.0
"""How long a proof is valid, and how long a missing or false proof is remembered."""

ALL_PROOFS_SECONDS = 8.0
"""The time after which no more proofs are asked for in one request. A question that began before it may end later."""

ANNOUNCEMENT_WAIT_SECONDS = 0.5
"""How long after the begin of a question other announcements without a proof wait for its answer."""

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
    """Asks managers for proofs of their keys over `sender`, and remembers all answers but silence. Safe to use from
    several threads.

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
        # A manager can name a thousand keys as its own.
        self._log = RateLimitedLog("privacy", clock)
        # By manager: whether it may be an Orion, and until when this counts.
        self._verdicts: dict[ManagerAddress, tuple[bool, float]] = {}
        # By manager: the event that ends the question of a thread to it, and until when other threads wait for that.
        self._questions: dict[ManagerAddress, tuple[threading.Event, float]] = {}

    def query_proof_statuses(self, urls_by_key: Mapping[bytes, str]) -> dict[bytes, KeyProofStatus]:
        """Return the status of each key (32 bytes) at its URL. PROVEN is remembered for `PROVEN_SECONDS`, UNPROVEN and
        a false proof for `UNPROVEN_SECONDS`. For all other keys the managers are asked. A key that was not asked for within
        `ALL_PROOFS_SECONDS` is SILENT, and so are all keys of a manager that did not answer once. EnclaveError
        `NoSenderKey` if this manager has no key."""
        found = {
            key: status for key, url in urls_by_key.items() if (status := self._known_status(key, url)) is not None
        }
        asked = {key: url for key, url in urls_by_key.items() if key not in found}
        until = self._clock() + ALL_PROOFS_SECONDS
        answers = request_proofs(self._keys.sender_pair(None), asked, self._sender, lambda: self._clock() < until)
        for key, answer in answers.items():
            found[key] = self._judge_answer(key, asked[key], answer)
        return found

    def any_manager_may_be_orion(self, urls_by_key: Mapping[bytes, str]) -> bool:
        """Return True if the manager at one of the URLs may be an Orion: the URL is one of `unproven_at`, and its
        manager does not know the question for a proof. An Orion announces groups without a proof.

        `urls_by_key` has public keys (32 bytes) and their URLs: only keys that the manager there has named as its own.
        A manager is asked for one of them at most once in `UNPROVEN_SECONDS`, and by one thread. One that does not
        answer counts as no Orion, and so does one whose answer to another thread does not come within
        `ANNOUNCEMENT_WAIT_SECONDS`. EnclaveError `NoSenderKey` if a manager is to be asked and this manager has no key.
        """
        # Any machine can announce groups at any time, and a thread waits for the answers. A silent manager, or a slow
        # one with many keys, would occupy all threads for other managers. One answer shows if it knows the question.
        listed = {manager_address(url): key for key, url in urls_by_key.items() if self._needs_no_proof(url)}
        own, others = self._begin_questions(listed)
        try:
            if own:
                statuses = self.query_proof_statuses({listed[address]: urls_by_key[listed[address]] for address in own})
                self._store_verdicts({address: statuses[listed[address]] for address in own})
        finally:
            # Also after an error. Other threads wait for these questions.
            self._end_questions(own)
        for question, until in others:
            question.wait(max(0.0, until - self._clock()))
        with self._lock:
            return any(self._verdicts.get(address, (False, 0.0))[0] for address in listed)

    def _needs_no_proof(self, url: str) -> bool:
        return any(is_same_manager(url, listed) for listed in self._unproven_at)

    def _begin_questions(
        self, addresses: Iterable[ManagerAddress]
    ) -> tuple[list[ManagerAddress], list[tuple[threading.Event, float]]]:
        """Return the managers that this thread is to ask, and the questions of other threads to the others."""
        own: list[ManagerAddress] = []
        others: list[tuple[threading.Event, float]] = []
        with self._lock:
            now = self._clock()
            self._verdicts = {address: verdict for address, verdict in self._verdicts.items() if now < verdict[1]}
            for address in addresses:
                if address in self._questions:
                    others.append(self._questions[address])
                elif address not in self._verdicts:
                    own.append(address)
                    self._questions[address] = (threading.Event(), now + ANNOUNCEMENT_WAIT_SECONDS)
        return own, others

    def _store_verdicts(self, statuses: Mapping[ManagerAddress, KeyProofStatus]) -> None:
        with self._lock:
            until = self._clock() + UNPROVEN_SECONDS
            for address, status in statuses.items():
                self._verdicts[address] = (status is KeyProofStatus.UNPROVEN, until)

    def _end_questions(self, own: Iterable[ManagerAddress]) -> None:
        with self._lock:
            for address in own:
                self._questions.pop(address)[0].set()

    def _judge_answer(self, key: bytes, url: str, answer: ProofAnswer) -> KeyProofStatus:
        if answer is ProofAnswer.PROVES:
            return self._store_status(key, url, KeyProofStatus.PROVEN, PROVEN_SECONDS)
        # Silence and errors of HTTP are not remembered. A manager that was down, or is being updated behind a proxy, must
        # be asked again at the next payload, not a minute later.
        if answer is ProofAnswer.SILENT:
            return KeyProofStatus.SILENT
        # FAILS is not REFUSES: a manager that gives a false proof knows the question, so it is no Orion.
        if answer is ProofAnswer.REFUSES and self._needs_no_proof(url):
            text = f"the manager at {url} gives no proof of its key {to_base64(key)}, as an Orion"
            # One line for each host: only the operator names hosts that need no proof.
            self._log.warning(urlsplit(url).hostname, text)
            return self._store_status(key, url, KeyProofStatus.UNPROVEN, UNPROVEN_SECONDS)
        if answer is ProofAnswer.REFUSES:
            return KeyProofStatus.REFUSED
        # A slow manager could otherwise occupy a thread with each of its false proofs, again and again.
        return self._store_status(key, url, KeyProofStatus.REFUSED, UNPROVEN_SECONDS)

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
