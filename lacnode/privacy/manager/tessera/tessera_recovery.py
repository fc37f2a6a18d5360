"""Payloads that are missing here, asked for at Tesseras: those have what we sent them and what they sent us.

Follows Tessera's LegacyResendManagerImpl. It gives a payload to whoever names a party of it; here it is kept only if an own
key opens it. Tessera gives no group back. Must not ask for everything: a Tessera pushes that unasked for how much it is.
"""

from collections.abc import Sequence

from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload, find_own_boxes, restore_own_box
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes
from lacnode.privacy.manager.tessera.tessera_payload import TesseraPayload


class TesseraRecovery:
    """Asks `nodes`, and gives what is found to `manager`."""

    def __init__(self, manager: LocalTransactionManager, nodes: TesseraNodes) -> None:
        self._manager = manager
        self._nodes = nodes

    def recover_payloads(self, wanted: Sequence[bytes]) -> int:
        """Ask every Tessera for these payloads; how many came."""
        keys = self._manager.keys
        return sum(
            self._keep(found, keys.sender(own)) for own, found in self._nodes.fetch_payloads(wanted, keys.public_keys)
        )

    def _keep(self, found: TesseraPayload, own: KeyPair) -> int:
        payload = _opened_by_its_sender(found, own) if found.payload.sender == own.public else found.payload
        if payload is None or self._manager.has(payload.key, own.public):
            return 0
        readers = find_own_boxes(payload, self._manager.keys)
        if not readers:
            return 0
        return self._manager.store_recovered_payload(payload, readers)


def _opened_by_its_sender(found: TesseraPayload, own: KeyPair) -> EncryptedPayload | None:
    for recipient in found.recipients:
        payload = restore_own_box(found.payload, recipient, own)
        if payload is not None:
            return payload
    return None
