"""Transaction managers that reach each other by a call: the real ones, on stores in memory, without sockets."""

from collections.abc import Mapping

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.key_proof_exchange import PROVE_PATH, ProofResponder
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.peer_paths import PUSH_GROUP_PATH, PUSH_PATH
from lacnode.privacy.manager.peer_sender import REFUSED_REPLY
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH
from lacnode.privacy.manager.recovery_boxes import PUSH_WITH_BOXES_PATH
from lacnode.privacy.transaction_manager import EnclaveError


class ManagerNetwork:
    """PeerSender by direct calls; `down` are URLs that do not answer, `orions` those that know no path of our own."""

    def __init__(self) -> None:
        self.managers: dict[str, LocalTransactionManager] = {}
        self.stores: dict[str, PayloadStore] = {}
        self.down: set[str] = set()
        self.orions: set[str] = set()

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        return {url: self._one(url, path, body) for url, body in bodies.items()}

    def _one(self, url: str, path: str, body: bytes) -> bytes | None:
        if url in self.down:
            return None
        if url in self.orions and path.startswith("/lacnode/"):
            return REFUSED_REPLY
        manager = self.managers[url]
        try:
            if path == PROVE_PATH:
                return ProofResponder(manager.keys, lambda: url).prove(body)
            answers = {
                PUSH_PATH: manager.intake.receive_push,
                PUSH_GROUP_PATH: manager.groups.receive_announcement,
                PUSH_PROVEN_GROUP_PATH: manager.groups.receive_announcement_with_proof,
                PUSH_WITH_BOXES_PATH: manager.intake.receive_push_with_boxes,
            }
            return answers[path](body).encode()
        except EnclaveError:
            return REFUSED_REPLY

    def add(self, url: str, pairs: list[KeyPair], store: PayloadStore | None = None) -> LocalTransactionManager:
        self.stores[url] = store or PayloadStore()
        peers = PeerDirectory([pair.public for pair in pairs], url)
        manager = LocalTransactionManager(KeyRing(pairs), self.stores[url], peers, self)
        self.managers[url] = manager
        for other in self.managers.values():
            for another in self.managers.values():
                other._peers.add_party_info(another._peers.party_info)
        return manager
