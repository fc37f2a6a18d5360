"""Whether a key is proven at the URL that payloads for it are sent to, before they are sent.

A lacnode proves its keys when it is asked. An Orion cannot: its protocol has no proof. So a key without one is accepted only
at a URL that the operator has named, and only if the manager there refuses the question as an Orion does. Must not send
anything else.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

import structlog

from lacnode.privacy.keys import KeyRing, to_base64
from lacnode.privacy.manager.key_proof_exchange import ProofAnswer, request_proofs
from lacnode.privacy.manager.orion_party_info import is_same_manager
from lacnode.privacy.manager.peer_sender import PeerSender

log = structlog.get_logger("privacy")

PROVEN_SECONDS = 600.0
UNPROVEN_SECONDS = 60.0
"""How long an answer holds: a proof, and the refusal of one where none is needed."""

MAX_REMEMBERED_PROOFS = 4096


class KeyProofStatus(Enum):
    """Whether payloads for a key may be sent to a URL: proven there, accepted without a proof, not, or not now, since its
    manager does not answer."""

    PROVEN = "proven"
    UNPROVEN = "unproven"
    REFUSED = "refused"
    SILENT = "silent"


class KeyProofs:
    """Asks over `sender`. At the URLs `unproven_at` a key needs no proof if its manager knows none. Safe from several
    threads, none of them the event loop's; as long as the calls take. `clock` gives seconds."""

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
        self._known: dict[tuple[bytes, str], tuple[KeyProofStatus, float]] = {}

    def proof_statuses(self, places: Mapping[bytes, str]) -> dict[bytes, KeyProofStatus]:
        """How each key (32 bytes) stands at its URL, asked for now unless it is known."""
        found = {key: standing for key, url in places.items() if (standing := self._remembered(key, url)) is not None}
        asked = {key: url for key, url in places.items() if key not in found}
        for key, answer in request_proofs(self._keys.sender(None), asked, self._sender).items():
            found[key] = self._judged(key, asked[key], answer)
        return found

    def accepts_unproven_keys(self, places: Mapping[bytes, str]) -> bool:
        """Whether the manager of one of the keys at `places` may be an Orion, which tells of groups without a proof."""
        listed = {key: url for key, url in places.items() if self._needs_none(url)}
        return KeyProofStatus.UNPROVEN in self.proof_statuses(listed).values()

    def _needs_none(self, url: str) -> bool:
        return any(is_same_manager(url, listed) for listed in self._unproven_at)

    def _judged(self, key: bytes, url: str, answer: ProofAnswer) -> KeyProofStatus:
        if answer is ProofAnswer.PROVES:
            return self._remember(key, url, KeyProofStatus.PROVEN, PROVEN_SECONDS)
        if answer is ProofAnswer.REFUSES and self._needs_none(url):
            log.warning(f"the manager at {url} gives no proof of its key {to_base64(key)}, as an Orion")
            return self._remember(key, url, KeyProofStatus.UNPROVEN, UNPROVEN_SECONDS)
        return KeyProofStatus.SILENT if answer is ProofAnswer.SILENT else KeyProofStatus.REFUSED

    def _remembered(self, key: bytes, url: str) -> KeyProofStatus | None:
        with self._lock:
            standing, until = self._known.get((key, url), (None, 0.0))
            return standing if self._clock() < until else None

    def _remember(self, key: bytes, url: str, standing: KeyProofStatus, seconds: float) -> KeyProofStatus:
        with self._lock:
            if len(self._known) >= MAX_REMEMBERED_PROOFS:
                self._known.clear()
            self._known[key, url] = (standing, self._clock() + seconds)
        return standing
