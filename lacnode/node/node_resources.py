"""The files, key and database of a node, opened and checked. Must not know how a node is built of them."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from lacnode.chainspec.spec import ChainSpec
from lacnode.crypto.node_identity import NodeIdentity
from lacnode.node.opened_manager import OpenedManager
from lacnode.permissioning.local_allowlists import LocalPermissions
from lacnode.storage.consensus_log import ConsensusLog, MemoryConsensusLog
from lacnode.storage.database import CheckedDatabase


@dataclass(frozen=True, slots=True)
class BlockPacing:
    """The wall clock in Unix seconds, and whether the timers of a height (a block number) may run. Every node outside
    of a devnet has the clock of its machine and lets every height run.
    """

    now: Callable[[], float] = time.time
    may_run_timers: Callable[[int], bool] = lambda height: True


@dataclass(frozen=True, slots=True)
class NodeResources:
    """The resources that `open_node` opens. `manager` is None if private transactions are off."""

    spec: ChainSpec
    key: NodeIdentity
    database: CheckedDatabase
    records: ConsensusLog | MemoryConsensusLog
    manager: OpenedManager | None = None
    local_permissions: LocalPermissions = field(default_factory=LocalPermissions)
    pacing: BlockPacing = field(default_factory=BlockPacing)

    def close(self) -> None:
        """Close the consensus log, the database, and the manager that runs in this process. Call after the node has
        ended. OSError if the last size of the log cannot be written, or one of them cannot be closed. The others are
        closed all the same.
        """
        with ExitStack() as closing:
            if self.manager is not None and self.manager.hosted is not None:
                closing.callback(self.manager.hosted.close)
            closing.callback(self.database.close)
            closing.callback(self.records.close)
