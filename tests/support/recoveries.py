"""Asking other managers for everything, until no one is due."""

from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.full_recovery import FullRecovery
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_recovery import PayloadRecovery
from lacnode.privacy.manager.peer_sender import PeerSender


def recover_all(manager: LocalTransactionManager, sender: PeerSender, *others: KeyPair, was_lost: bool = False) -> int:
    """Ask the managers of `others` for everything. Return how many payloads were stored."""
    recovery = FullRecovery(PayloadRecovery(manager, sender, was_lost=was_lost))
    known = manager.party_info.keys
    recovery.set_managers({other.public: known[other.public] for other in others})
    return ask_all(recovery)


def ask_all(recovery: FullRecovery) -> int:
    """Give managers their turns until none is due. Return how many payloads were stored."""
    total = 0
    while (count := recovery.ask_next()) is not None:
        total += count
    return total
