"""The views of the chain for other parts of the node. Must not keep anything: every value is read at each call."""

from collections.abc import Callable, Sequence

from lacnode.chain.blockchain import Blockchain
from lacnode.chainspec.spec import ChainSpec
from lacnode.node.permissioning_rules import PermissioningRules
from lacnode.p2p.chain_reader import LocalStatus
from lacnode.p2p.peer import Peer
from lacnode.permissioning.node_permissions import PermissioningContext
from lacnode.sync.synchronizer import Synchronizer
from lacnode.txpool.admission import HeadState


def read_head_state(chain: Blockchain) -> HeadState:
    """Return the header of the head, and the accounts after it, for the pool. The accounts are read when they are asked
    for.
    """
    header = chain.head.header
    return HeadState(header, chain.state_at(header))


def read_local_status(spec: ChainSpec, chain: Blockchain, network_id: int) -> LocalStatus:
    """Return the Status that this node sends to its peers, computed from the current head."""
    head = chain.head
    number, timestamp = head.header.number, head.header.timestamp
    genesis_hash = chain.genesis_hash
    return LocalStatus(
        network_id=network_id,
        genesis_hash=genesis_hash,
        genesis_difficulty=spec.genesis.difficulty,
        head_hash=head.hash,
        head_number=number,
        total_difficulty=head.total_difficulty,
        fork_id=spec.forks.fork_id_at(genesis_hash, number, timestamp),
        accepts_fork_id=lambda theirs: spec.forks.accepts_fork_id(genesis_hash, number, timestamp, theirs),
    )


class PermissioningContextReader:
    """Reads the `PermissioningContext` of this node: the head, the validators after it, whether this node has caught up
    or is a validator, and whether it is isolated: without any peer but bootnodes. `own_address` is the 20-byte address
    of this node."""

    def __init__(
        self,
        chain: Blockchain,
        peers: Callable[[], Sequence[Peer]],
        synchronizer: Synchronizer,
        permissions: PermissioningRules,
        own_address: bytes,
    ) -> None:
        self._chain = chain
        self._peers = peers
        self._synchronizer = synchronizer
        self._permissions = permissions
        self._own_address = own_address

    def read(self) -> PermissioningContext:
        """Return the context of this moment. Safe to use from several threads."""
        header = self._chain.head.header
        validators = self._chain.validators_after(header)
        return PermissioningContext(
            header=header,
            validators=validators,
            # Validators that start together must connect before any of them can catch up.
            is_current=self._synchronizer.has_caught_up or self._own_address in validators,
            is_isolated=self._permissions.nodes.are_bootnodes(peer.id for peer in self._peers()),
        )
