"""Reads the group histories that this node received when it was added to flexible groups.

A private transaction from before its addition is found there alone: the manager has no payload of it. This module must not
execute any.
"""

from collections.abc import Sequence

from lacnode.privacy.state.flexible.group_history import PastTransaction
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_payloads import PayloadNotFoundError, UnusablePayloadError, receive_history
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.privacy.state.private_transaction import PrivateTransaction


class GroupHistoryReader:
    """Reads histories from the manager at each call. Safe to use from any thread."""

    def __init__(self, context: PrivacyContext) -> None:
        self._context = context

    def find_transaction(self, marker_hash: bytes) -> tuple[bytes, PrivateTransaction] | None:
        """Return the group and the private transaction of a marker that is in a history. None if it is in none.

        PayloadUnavailableError or EnclaveUnreachableError if the manager does not give a history.
        """
        with self._context.database.read() as snapshot:
            # The snapshot is closed before the manager is asked. An open one would hold old pages of the database.
            keys = list(PrivateStoreReader(snapshot).history_keys())
        for group_id, key in keys:
            for past in self._past(key):
                if past.marker_hash == marker_hash:
                    return group_id, past.private
        return None

    def _past(self, key: bytes) -> Sequence[PastTransaction]:
        try:
            return receive_history(self._context.manager, key).past
        except (PayloadNotFoundError, UnusablePayloadError):
            return ()
