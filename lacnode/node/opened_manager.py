"""The transaction manager that a node was given: what the node holds of it. Must not import what a manager needs: a node
without private transactions starts without it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lacnode.privacy.transaction_manager import TransactionManager

if TYPE_CHECKING:
    from lacnode.privacy.service.manager_service import ManagerService


class ManagerStartError(Exception):
    """No manager can be had; one message naming the option or file."""


@dataclass(frozen=True, slots=True)
class OpenedManager:
    """`hosted` is the manager's own service where it runs in this process."""

    manager: TransactionManager
    hosted: "ManagerService | None" = None
