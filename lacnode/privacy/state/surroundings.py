"""What the private room stands on, as its parts are handed it. Must not do anything."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lacnode.chain.history import History
from lacnode.evm.engine import ExecutionEngine
from lacnode.privacy.state.group_genesis import PrivateGenesis
from lacnode.privacy.state.marker import GroupMode
from lacnode.privacy.transaction_manager import TransactionManager
from lacnode.storage.database import Database


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`head` gives the number of the last public block, `now` Unix seconds."""

    history: History
    head: Callable[[], int]
    engine: ExecutionEngine
    database: Database
    manager: TransactionManager
    chain_id: int
    now: Callable[[], float] = time.time
    mode: GroupMode = GroupMode.OFFCHAIN
    genesis: PrivateGenesis = field(default_factory=PrivateGenesis)
