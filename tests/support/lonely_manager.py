"""A transaction manager in this process that knows no other manager."""

from collections.abc import Mapping

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory


class NoPeers:
    """A `PeerSender` that reaches no manager."""

    def post(self, path: str, bodies: Mapping[str, bytes]) -> dict[str, bytes | None]:
        return dict.fromkeys(bodies)


def lonely_manager(own: KeyPair, store: PayloadStore) -> LocalTransactionManager:
    return LocalTransactionManager(KeyRing([own]), store, PeerDirectory([own.public], "http://a"), NoPeers())
