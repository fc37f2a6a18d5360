"""Reading payloads for execution: each when its turn comes, and what is known of one is kept (see `known_payloads`)."""

from collections.abc import Callable

from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.execution import PrivateTask, UnreadTask
from lacnode.privacy.state.known_payloads import KnownPayload, KnownPayloads
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import GroupMode, read_payload_key
from lacnode.privacy.state.private_payloads import task_for


class PayloadReader:
    """Safe from any thread."""

    def __init__(self, context: PrivacyContext) -> None:
        self._context = context
        self.known = KnownPayloads(context.database)

    def known_of(self, marker: Transaction) -> KnownPayload | None:
        """What is known of the marker's payload before it is read."""
        return self.known.of(read_payload_key(marker))

    def unread(self, marker: Transaction, index: int, read: Callable[[], PrivateTask | None]) -> UnreadTask:
        """The task of the marker at `index` of its block, whose payload `read` gives."""
        return UnreadTask(index, self.known_of(marker), self._context.mode is GroupMode.OFFCHAIN, read)

    def read(self, marker: Transaction, index: int, *, admitted: bool = False) -> PrivateTask:
        """See `payloads.task_for`. What is read is known from then on."""
        task = task_for(self._context.manager, marker, index, self._context.mode, admitted=admitted)
        self.known.was_read(read_payload_key(marker), task.group_id, task.private.private_from)
        return task
