"""The histories that this node was sent when it was added to flexible groups: where a private transaction of before is
found again, since the manager has no payload of it. Must not execute any.
"""

from collections.abc import Sequence

from lacnode.privacy.state.flexible.history import PastTransaction
from lacnode.privacy.state.payloads import NoPayload, UselessPayload, receive_history
from lacnode.privacy.state.private_transaction import PrivateTransaction
from lacnode.privacy.state.store import StoredPrivate
from lacnode.privacy.state.surroundings import Surroundings


class Histories:
    """Reads them from the manager, each time. Safe from any thread."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def told(self, marker_hash: bytes) -> tuple[bytes, PrivateTransaction] | None:
        """The group and the private transaction of a marker that a history told of.

        Raises ManagerFails or ManagerUnreachable.
        """
        with self._around.database.read() as snapshot:
            keys = list(StoredPrivate(snapshot).history_keys())
        for group_id, key in keys:
            for past in self._past(key):
                if past.marker_hash == marker_hash:
                    return group_id, past.private
        return None

    def _past(self, key: bytes) -> Sequence[PastTransaction]:
        try:
            return receive_history(self._around.manager, key).past
        except (NoPayload, UselessPayload):
            return ()
