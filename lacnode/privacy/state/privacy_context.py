"""The dependencies of private execution. This module must not do anything."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lacnode.chain.chain_history import ChainHistory
from lacnode.evm.engine import ExecutionEngine
from lacnode.privacy.state.group_failures import GroupFailures
from lacnode.privacy.state.group_genesis import PrivateGenesis
from lacnode.privacy.state.privacy_marker import GroupMode
from lacnode.privacy.transaction_manager import TransactionManager
from lacnode.storage.database import Database

DEFAULT_STATE_QUOTA_BYTES = 68_719_476_736
"""The bytes of private state that private execution may write."""


def ignore_signer(payload_key: bytes, signer: bytes, is_known: bool) -> None:
    """Do nothing. This is the `record_missing_payload_signer` of a manager in another process: Orion's interface has no
    place for it."""


@dataclass(frozen=True, slots=True)
class PrivacyContext:
    """The dependencies that all parts of private execution share.

    `head` returns the number of the last public block. `now` returns Unix seconds. `own_keys` are the public keys (32
    bytes) that this node is known to send with. `alarms` returns texts about the manager's store when it is almost
    full, if the manager runs in this process. `record_missing_payload_signer` tells that manager which account (20
    bytes) signed the marker of a payload (its key, 32 bytes, comes first) that it does not have, and whether an earlier
    marker of this account was for this node. `state_quota_bytes` bounds what private execution writes, 0 for no bound.
    `failures` records the unexpected errors of single groups.
    """

    history: ChainHistory
    head: Callable[[], int]
    engine: ExecutionEngine
    database: Database
    manager: TransactionManager
    chain_id: int
    now: Callable[[], float] = time.time
    mode: GroupMode = GroupMode.OFFCHAIN
    genesis: PrivateGenesis = field(default_factory=PrivateGenesis)
    # Empty by default: without it no sender is preferred, which is always safe.
    own_keys: frozenset[bytes] = frozenset()
    alarms: Callable[[], tuple[str, ...]] = tuple
    record_missing_payload_signer: Callable[[bytes, bytes, bool], None] = ignore_signer
    state_quota_bytes: int = DEFAULT_STATE_QUOTA_BYTES
    failures: GroupFailures = field(default_factory=GroupFailures)
