"""Transaction managers that reach each other by a call: the real ones, on stores in memory, without sockets."""

from collections.abc import Mapping

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.local import LocalTransactionManager
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_paths import PUSH, PUSH_GROUP
from lacnode.privacy.manager.peer_sender import REFUSED
from lacnode.privacy.manager.peers import Peers
from lacnode.privacy.manager.proof import PROVE, ProofDesk
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP
from lacnode.privacy.manager.spare_boxes import PUSH_WITH_SPARES
from lacnode.privacy.transaction_manager import ManagerError


class Network:
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
            return REFUSED
        manager = self.managers[url]
        try:
            if path == PROVE:
                return ProofDesk(manager.keys, lambda: url).prove(body)
            answers = {
                PUSH: manager.pushed,
                PUSH_GROUP: manager.group_pushed,
                PUSH_PROVEN_GROUP: manager.proven_group_pushed,
                PUSH_WITH_SPARES: manager.pushed_with_spares,
            }
            return answers[path](body).encode()
        except ManagerError:
            return REFUSED

    def add(self, url: str, pairs: list[KeyPair], store: PayloadStore | None = None) -> LocalTransactionManager:
        self.stores[url] = store or PayloadStore()
        peers = Peers([pair.public for pair in pairs], url)
        manager = LocalTransactionManager(KeyRing(pairs), self.stores[url], peers, self)
        self.managers[url] = manager
        for other in self.managers.values():
            for another in self.managers.values():
                other._peers.learn(another._peers.view)
        return manager
