"""Payloads that are missing here, asked for at Tesseras: those have what we sent them and what they sent us.

Follows Tessera's LegacyResendManagerImpl. It gives a payload to whoever names a party of it; here it is kept only if an own
key opens it. Tessera gives no group back. Must not ask for everything: a Tessera pushes that unasked for how much it is.
"""

from collections.abc import Sequence

from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.local import LocalTransactionManager
from lacnode.privacy.manager.payload import EncryptedPayload, readable_by, reclaimed
from lacnode.privacy.manager.tessera.nodes import TesseraNodes
from lacnode.privacy.manager.tessera.payload import TesseraPayload


class TesseraRecovery:
    """Asks `nodes`, and gives what is found to `manager`."""

    def __init__(self, manager: LocalTransactionManager, nodes: TesseraNodes) -> None:
        self._manager = manager
        self._nodes = nodes

    def recover_some(self, wanted: Sequence[bytes]) -> int:
        """Ask every Tessera for these payloads; how many came."""
        keys = self._manager.keys
        return sum(self._keep(found, keys.sender(own)) for own, found in self._nodes.resent(wanted, keys.public_keys))

    def _keep(self, found: TesseraPayload, own: KeyPair) -> int:
        payload = _opened_by_its_sender(found, own) if found.payload.sender == own.public else found.payload
        if payload is None or self._manager.has(payload.key, own.public):
            return 0
        readers = readable_by(payload, self._manager.keys)
        if not readers:
            return 0
        return self._manager.keep_recovered(payload, readers)


def _opened_by_its_sender(found: TesseraPayload, own: KeyPair) -> EncryptedPayload | None:
    for recipient in found.recipients:
        payload = reclaimed(found.payload, recipient, own)
        if payload is not None:
            return payload
    return None
