"""The objects that RPC methods may use. `node.assembly` makes them.

A reader process loads this module with the methods that it answers, but has none of the objects. Their types are imported
for the type checker alone, so that a reader does not load the whole node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from lacnode.evm.engine import PYTHON
from lacnode.permissioning.local_allowlists import LocalPermissions
from lacnode.rpc.read_calls import ReadContext
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.rpc.recent_prices import RecentPrices
from lacnode.rpc.settings import ApiSettings

if TYPE_CHECKING:
    from lacnode.chain.blockchain import Blockchain
    from lacnode.consensus.bft.controller import ConsensusStatus
    from lacnode.consensus.bft.vote_proposer import VoteProposer
    from lacnode.evm.budget import ExecutionBudget
    from lacnode.p2p.peer import Peer
    from lacnode.p2p.wire.enode import Enode
    from lacnode.permissioning.decision import Decision
    from lacnode.permissioning.lockout import ChangeSimulation
    from lacnode.permissioning.refused_connections import RefusedConnections
    from lacnode.permissioning.transaction_call import TransactionCall
    from lacnode.privacy.state.privacy_controller import PrivacyController
    from lacnode.txpool.transaction_pool import TransactionPool
    from lacnode.txpool.transaction_submission import TransactionSubmission
    from lacnode.workers.event_loop import EventLoop


MetricValue = tuple[str, str, tuple[str, ...], float]
"""A value of a metric: its category, its name without the category, the values of its labels, and the value."""


class NetworkView(Protocol):
    """The part of the network that methods may use. Must be used on the event loop.

    Only `peers` may be read in any thread.
    """

    local_enode: Enode

    @property
    def peers(self) -> Sequence[Peer]:
        """The connected peers, in no particular order. May be read in any thread. Empty if there are none."""

    def add_static(self, enode: Enode) -> bool:
        """Make `enode` a static node: it is dialled from now on whenever it is not connected and the rules permit it,
        until this node ends. Return True, or False if it is static already with the same address, or is this node. Must
        be called on the event loop."""

    def remove_static_and_disconnect(self, enode: Enode) -> bool:
        """End the connection with `enode`, if there is one, and do not dial it again. It may still dial this node.
        Return True, or False if it was not on the list of nodes to dial. Must be called on the event loop."""


class SyncView(Protocol):
    """The block numbers of a synchronisation under way, for `eth_syncing`. They change while it goes on. Outside a
    synchronisation there is no such object (None)."""

    @property
    def starting_block(self) -> int:
        """The number of the head when this synchronisation began."""

    @property
    def current_block(self) -> int:
        """The number of the head now."""

    @property
    def highest_block(self) -> int:
        """The highest block number that the followed peer claims, the one whose headers were verified last. At least
        the head. The claim may be wrong."""


class PermissionView(Protocol):
    """Answers methods about permissions and the reasons for them. Safe to use from several threads."""

    @property
    def refused_connections(self) -> RefusedConnections:
        """The last connections that the rules refused and have not permitted since."""

    def explain_connection(self, source: Enode, destination: Enode) -> Decision:
        """Return the decision whether `source` may connect to `destination` now, and why. An unreadable contract is a
        refusal and no error. It may take seconds."""

    def explain_transaction(self, call: TransactionCall, sender: bytes) -> Decision:
        """Return the decision whether `sender` (20 bytes) may send `call` now, and why. An unreadable contract is a
        refusal and no error. It may take seconds."""

    def simulate_change(self, call: TransactionCall, sender: bytes, budget: ExecutionBudget) -> ChangeSimulation:
        """Execute `call` from `sender` (20 bytes) on a copy of the head's state, and keep nothing. Return whether it
        succeeds, which of `sender` and the listed administrators could change the rules after it, and whether an admin
        contract is there after it.

        TransactionRejectedError if the call cannot begin, SystemCallError if no block can follow the head,
        ExecutionInterruptedError if `budget` is used up or cancelled.
        """

    def status(self) -> dict[str, object]:
        """Return the rules in force, their faults and their counters, as an object ready for JSON."""


@dataclass(frozen=True, slots=True)
class RoleView:
    """The role of a node: by its configuration, by the validator set, and by the node contract. `configured` and
    `by_contract` are None if they name no role. `conflicts` are sentences about the differences between them, empty if
    there are none."""

    configured: str | None
    is_validator: bool
    by_contract: str | None
    conflicts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The facts about a node that its API shows.

    `network_id` is the number in the Status of devp2p. `client_version` is its name with the version. `coinbase` is the
    node's address (20 bytes). `engine_name` is the name of the EVM. `accepts_transactions` says whether the node takes
    transactions by RPC. `endpoints` gets the host and the port of each open port, by its name in `net_services`.
    `metric_readers` gets the functions that read the node's metrics, once there are any.
    """

    network_id: int
    client_version: str
    coinbase: bytes
    accepts_transactions: bool = True
    engine_name: str = PYTHON
    endpoints: dict[str, tuple[str, int]] = field(default_factory=dict)
    metric_readers: list[Callable[[], Iterable[MetricValue]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NodeStatusReaders:
    """Functions that return the status of a node at the time of the call: its role, its synchronisation, and the state
    of consensus. `synchronisation` returns None if the node is not syncing."""

    role: Callable[[], RoleView]
    synchronisation: Callable[[], SyncView | None]
    consensus: Callable[[], ConsensusStatus]


@dataclass(frozen=True, slots=True)
class ChainCaches:
    """The caches that all ports of a node share: decoded blocks, and the prices of the last blocks."""

    blocks: RecentBlocks
    prices: RecentPrices


@dataclass(frozen=True, slots=True)
class RpcServices:
    """The objects that RPC methods may use. A node makes one value. Its ports and its clients get copies.

    `network` is None if P2P is off, and `privacy` is None if private transactions are off. `event_loop` is the loop of
    the network and its peers. `change_log_level` takes a level and names of loggers (`admin_changeLogLevel`).

    `groups`, `client` and `privacy` depend on the call: see `for_port`, `for_client` and `for_tenant`.
    """

    chain: Blockchain
    pool: TransactionPool
    submission: TransactionSubmission
    network: NetworkView | None
    vote_proposer: VoteProposer
    permissions: PermissionView
    node: NodeFacts
    status: NodeStatusReaders
    settings: ApiSettings
    event_loop: EventLoop
    caches: ChainCaches
    local_permissions: LocalPermissions = field(default_factory=LocalPermissions)
    change_log_level: Callable[[str, Sequence[str]], None] = lambda level, names: None
    groups: tuple[str, ...] = ()
    privacy: PrivacyController | None = None
    client: str = ""

    def for_port(self, groups: tuple[str, ...]) -> RpcServices:
        """Return a copy of the services for a port with these API groups (upper case), which `rpc_modules` shows."""
        return replace(self, groups=groups)

    def for_client(self, client: str) -> RpcServices:
        """Return a copy of the services for calls from this address. Limits for each client count by it."""
        return replace(self, client=client)

    def for_tenant(self, privacy_key: bytes) -> RpcServices:
        """Return a copy of the services for calls of the tenant with this 32-byte key. Private methods with the copy see
        the private transactions of this key only. Returns the same object if private transactions are off."""
        # A copy with another `privacy` is enough: every private method goes through it, so it cannot reach another
        # tenant's data.
        return self if self.privacy is None else replace(self, privacy=self.privacy.for_tenant(privacy_key))

    def read_context(self, seconds: float) -> ReadContext:
        """Return the context of a read-only method in this process, with a deadline in `seconds` from now."""
        return ReadContext(self.chain, self.settings, time.monotonic() + seconds, self.caches.blocks)
