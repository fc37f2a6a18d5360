"""The facts about groups and senders in the database, for the decisions before an execution (see `time_slices`)."""

from itertools import islice

from lacnode.privacy.state.announced_payloads import is_punctual_sender
from lacnode.privacy.state.long_private_transactions import LongTransactionReader
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_store import PrivateStoreReader


class StoredPriorFacts:
    """A `PriorFacts` that reads the facts from the database. Safe to use from any thread."""

    def __init__(self, context: PrivacyContext) -> None:
        self._context = context

    def is_waiting(self, group_id: bytes) -> bool:
        """Return True if the transactions of the group `group_id` (32 bytes) wait for a long one, which is executed in
        a thread of its own."""
        with self._context.database.read() as snapshot:
            return LongTransactionReader(snapshot).is_waiting(group_id)

    def count_changes(self, group_id: bytes, at_most: int) -> int:
        """Return the number of blocks that changed the state of the group with this id (32 bytes), at most `at_most`."""
        with self._context.database.read() as snapshot:
            return sum(1 for _ in islice(PrivateStoreReader(snapshot).changed_blocks_down_to(group_id, 0), at_most))

    def is_own_or_punctual_sender(self, private_from: bytes) -> bool:
        """Return True if the key `private_from` (32 bytes) is of this node, or if it is punctual: a private transaction
        of it changed a state within its time slice, and none took longer since."""
        # The own users come first on their own node, also after they sent a slow transaction.
        if self.is_own_key(private_from):
            return True
        with self._context.database.read() as snapshot:
            return is_punctual_sender(snapshot, private_from)

    def is_own_key(self, private_from: bytes) -> bool:
        """Return True if `private_from` (32 bytes) is a key of this node."""
        return private_from in self._context.own_keys
