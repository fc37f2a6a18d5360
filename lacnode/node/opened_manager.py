"""The transaction manager that a node was given, as the node holds it. Must not import the modules that a manager
needs: a node without private transactions starts without them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lacnode.privacy.transaction_manager import TransactionManager

if TYPE_CHECKING:
    from lacnode.privacy.service.manager_service import ManagerService


class ManagerStartError(Exception):
    """No manager can be opened. The text is one message that names the option or the file."""


@dataclass(frozen=True, slots=True)
class OpenedManager:
    """A manager in use. `hosted` is the manager's own service where it runs in this process, else None."""

    manager: TransactionManager
    hosted: "ManagerService | None" = None
