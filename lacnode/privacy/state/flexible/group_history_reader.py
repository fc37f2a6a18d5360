"""The histories that this node was sent when it was added to flexible groups: where a private transaction of before is
found again, since the manager has no payload of it. Must not execute any.
"""

from collections.abc import Sequence

from lacnode.privacy.state.flexible.group_history import PastTransaction
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_payloads import PayloadNotFoundError, UnusablePayloadError, receive_history
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.privacy.state.private_transaction import PrivateTransaction


class GroupHistoryReader:
    """Reads them from the manager, each time. Safe from any thread."""

    def __init__(self, context: PrivacyContext) -> None:
        self._context = context

    def told(self, marker_hash: bytes) -> tuple[bytes, PrivateTransaction] | None:
        """The group and the private transaction of a marker that a history told of.

        Raises PayloadUnavailableError or EnclaveUnreachableError.
        """
        with self._context.database.read() as snapshot:
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
