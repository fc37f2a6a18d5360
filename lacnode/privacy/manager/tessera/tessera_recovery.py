"""The recovery of missing payloads from Tesseras. They have the payloads that they sent and that they received.

Follows Tessera's `LegacyResendManagerImpl`. A Tessera gives a payload to every requester that names one of its parties. Here
a payload is stored only if an own key opens it. A Tessera gives no group back. This module must not ask for all payloads: a
Tessera would push them without any bound.
"""

from collections.abc import Sequence

from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload, find_own_boxes, restore_sender_box
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes
from lacnode.privacy.manager.tessera.tessera_payload import TesseraPayload


class TesseraRecovery:
    """Asks Tesseras for missing payloads and stores them in `manager`. Its calls block, so the event loop must not make
    them. `was_lost` is as for `PayloadRecovery`."""

    def __init__(self, manager: LocalTransactionManager, nodes: TesseraNodes, *, was_lost: bool = False) -> None:
        self._manager = manager
        self._nodes = nodes
        self._was_lost = was_lost

    def recover_payloads(self, wanted: Sequence[bytes]) -> int:
        """Ask every Tessera for the payloads `wanted` (keys of 32 bytes). Return how many were accepted into the store.
        A Tessera that does not answer raises no error. EnclaveUnreachableError if the own store fails."""
        keys = self._manager.keys
        return sum(
            self._store(found, keys.sender_pair(own))
            for own, found in self._nodes.fetch_payloads(wanted, keys.public_keys)
        )

    def _store(self, found: TesseraPayload, own: KeyPair) -> int:
        # A Tessera keeps no box for the sender. The sender's box is made again from the recipient's box.
        payload = self._with_sender_box(found, own) if found.payload.sender == own.public else found.payload
        if payload is None or self._manager.has_payload(payload.key, own.public):
            return 0
        # All own keys are tried, not only the one that was named: another own key may be a recipient, too.
        readers = find_own_boxes(payload, self._manager.keys)
        if not readers:
            return 0
        return self._manager.intake.store_recovered(payload, readers, counts_to_quota=not self._was_lost)

    def _with_sender_box(self, found: TesseraPayload, own: KeyPair) -> EncryptedPayload | None:
        for recipient in found.recipients:
            payload = restore_sender_box(found.payload, recipient, own)
            if payload is not None:
                return payload if self._manager.intake.is_sent_by(payload, own, recipient, self._was_lost) else None
        return None
