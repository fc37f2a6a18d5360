"""Compares the configured role of this node with the chain after changes, and logs contradictions.

Must not change anything: `role` has the duties of a role, and the chain names the validators.
"""

import structlog
import trio

from lacnode.chain.blockchain import Blockchain
from lacnode.node.node_events import HeadAndPeersSignal
from lacnode.node.permissioning_rules import PermissioningRules
from lacnode.node.role import NodeRole, role_conflicts
from lacnode.rpc.services import RoleView

log = structlog.get_logger("node")

ROLE_CHECK_SECONDS = 10.0
"""Seconds between two checks."""


class RoleMonitor:
    """Compares the configured role of the node at `address` (20 bytes) with the validators and the node contract, and
    logs conflicts.
    """

    def __init__(
        self, role: NodeRole | None, address: bytes, chain: Blockchain, permissions: PermissioningRules
    ) -> None:
        self._role = role
        self._address = address
        self._chain = chain
        self._permissions = permissions
        self.view = RoleView(None if role is None else role.value, False, None, ())
        """The role at the last check."""

    async def run(self, state_change: HeadAndPeersSignal) -> None:
        """Compare the configured role with the validators and the node contract, and write the result into `view`. This
        happens at the start and after changes of the head or the peers, at most once in `ROLE_CHECK_SECONDS`, until
        cancelled. Log every conflict that is new."""
        while True:
            moved = state_change.next_event()
            view = await trio.to_thread.run_sync(self._check_role)
            for conflict in view.conflicts:
                if conflict not in self.view.conflicts:
                    log.error(conflict)
            self.view = view
            # The pause comes before the wait: a block each second must not mean a call of the contract each second.
            await trio.sleep(ROLE_CHECK_SECONDS)
            await moved.wait()

    def _check_role(self) -> RoleView:
        """Return the role now. Runs in a worker thread, since it calls a contract."""
        head = self._chain.head.header
        is_validator = self._address in self._chain.validators_after(head)
        listed = self._permissions.own_node_type(head)
        return RoleView(
            configured=None if self._role is None else self._role.value,
            is_validator=is_validator,
            by_contract=None if listed is None else listed.lower_name,
            conflicts=tuple(role_conflicts(self._role, is_validator, listed)),
        )
