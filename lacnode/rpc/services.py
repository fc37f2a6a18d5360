"""What methods may touch: the rooms of the node, handed over by the composition root.

A reader process loads this module with the methods that it answers, and has none of the rooms: their types are for the type
checker alone.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lacnode.evm.engine import PYTHON
from lacnode.permissioning.local_allowlists import LocalPermissions
from lacnode.rpc.read_calls import ReadContext
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.rpc.recent_prices import RecentPrices
from lacnode.rpc.settings import ApiSettings

if TYPE_CHECKING:
    import trio

    from lacnode.chain.blockchain import Blockchain
    from lacnode.consensus.ibft import ConsensusStatus
    from lacnode.consensus.vote_proposer import VoteProposer
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


class NetworkView(Protocol):
    """The network as methods see it."""

    local_enode: Enode

    @property
    def peers(self) -> Sequence[Peer]: ...
    def add_static(self, enode: Enode) -> bool: ...
    def remove_static(self, enode: Enode) -> bool: ...


class SyncView(Protocol):
    """Block numbers of a synchronisation under way."""

    @property
    def starting_block(self) -> int: ...
    @property
    def current_block(self) -> int: ...
    @property
    def highest_block(self) -> int: ...


class PermissionView(Protocol):
    """Where methods ask for permissions and the reasons for them. Safe to use from several threads."""

    @property
    def refused(self) -> RefusedConnections: ...
    def explain_connection(self, source: Enode, destination: Enode) -> Decision: ...
    def explain_transaction(self, call: TransactionCall, sender: bytes) -> Decision: ...
    def simulate_change(self, call: TransactionCall, sender: bytes, budget: ExecutionBudget) -> ChangeSimulation: ...
    def status(self) -> dict[str, object]: ...


@dataclass(frozen=True, slots=True)
class RoleView:
    """What a node is: by configuration, by the validator set, by the node contract; `conflicts` are sentences."""

    configured: str | None
    is_validator: bool
    by_contract: str | None
    conflicts: tuple[str, ...]


@dataclass(slots=True)
class RpcServices:
    """One node's rooms. `network` is None where P2P is off, `privacy` where private transactions are; `token` is the event
    loop, once it runs; `client` is the address that asks; `engine_name` says who executes contracts."""

    chain: Blockchain
    pool: TransactionPool
    submission: TransactionSubmission
    network: NetworkView | None
    vote_proposer: VoteProposer
    permissions: PermissionView
    role: Callable[[], RoleView]
    accepts_transactions: bool
    sync_status: Callable[[], SyncView | None]
    consensus_status: Callable[[], ConsensusStatus]
    network_id: int
    client_version: str
    coinbase: bytes
    settings: ApiSettings
    local_permissions: LocalPermissions = field(default_factory=LocalPermissions)
    change_log_level: Callable[[str, Sequence[str]], None] = lambda level, names: None
    groups: tuple[str, ...] = ()
    endpoints: dict[str, tuple[str, int]] | None = None
    token: trio.lowlevel.TrioToken | None = None
    privacy: PrivacyController | None = None
    client: str = ""
    engine_name: str = PYTHON
    blocks: RecentBlocks = field(init=False)
    prices: RecentPrices = field(init=False)

    def __post_init__(self) -> None:
        self.blocks = RecentBlocks(self.chain)
        self.prices = RecentPrices(self.chain)

    def reading(self, seconds: float) -> ReadContext:
        """What a read-only method may touch, for so many seconds from now."""
        return ReadContext(self.chain, self.settings, time.monotonic() + seconds, self.blocks)

    def run_on_event_loop(self, work: Callable[[], bool]) -> bool:
        """Run `work` on the event loop, where the network lives, from a method's thread."""
        if self.token is None:
            return work()
        from_thread = importlib.import_module("trio").from_thread  # loaded already, where there is a token
        return bool(from_thread.run_sync(work, trio_token=self.token))
