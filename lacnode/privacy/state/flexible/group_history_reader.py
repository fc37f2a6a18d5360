"""Reads the group histories that this node received when it was added to flexible groups.

A private transaction from before its addition is found there alone: the manager has no payload of it. This module must not
execute any.
"""

from collections.abc import Callable, Mapping, Sequence

from lacnode.privacy.state.flexible.group_history import PastTransaction
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_payloads import (
    PayloadNotFoundError,
    PayloadUnavailableError,
    UnusablePayloadError,
    receive_history,
)
from lacnode.privacy.state.private_store import MarkerPlace, PrivateStoreReader, has_marker
from lacnode.privacy.state.private_transaction import PrivateTransaction

MAX_HISTORIES_READ = 16
"""The largest number of histories that are read for one marker. Each may take a second."""


class GroupHistoryReader:
    """Reads the histories that this node took over, from the manager at each call. Safe to use from any thread."""

    def __init__(self, context: PrivacyContext) -> None:
        self._context = context

    def find_transaction(
        self, marker_hash: bytes, place: MarkerPlace, may_see_group: Callable[[bytes], bool]
    ) -> tuple[bytes, PrivateTransaction] | None:
        """Return the id of the group (32 bytes) and the private transaction that a history has for the marker
        `marker_hash` (32 bytes) at `place`. None if it is in no history of a group that the marker concerned.

        `may_see_group` says for the id of a group whether the caller may see it, and its errors pass through. The
        histories of other groups are left out. EnclaveUnreachableError if the manager does not answer.
        PayloadUnavailableError if the transaction was not found and the manager does not give one of the histories, or
        there are more than `MAX_HISTORIES_READ`.
        """
        with self._context.database.read() as snapshot:
            # The snapshot is closed before the manager is asked. An open one would hold old pages of the database.
            # Strangers can send any number of histories of their own groups. Only those of a group that the marker
            # concerned are read.
            keys = [
                (group_id, key)
                for group_id, key in PrivateStoreReader(snapshot).history_keys()
                if has_marker(snapshot, group_id, place)
            ]
        unavailable: PayloadUnavailableError | None = None
        # A stranger's history may name the marker too. It must not hide the one that the caller may see.
        visible = (entry for entry in keys if may_see_group(entry[0]))
        for number, (group_id, key) in enumerate(visible):
            if number == MAX_HISTORIES_READ:
                raise PayloadUnavailableError("too many histories name its marker")
            try:
                found = self._find_in(key, marker_hash)
            except PayloadUnavailableError as error:
                # It may be another group's history. The transaction may be in one of the next.
                unavailable = error
                continue
            if found is not None:
                return group_id, found
        if unavailable is not None:
            raise unavailable
        return None

    def transactions_of(self, group_id: bytes) -> Mapping[bytes, PrivateTransaction]:
        """Return the private transactions in the history of the group `group_id` (32 bytes) by the hashes of their
        markers. Empty without a history, or if the manager has lost it or it is malformed.

        PayloadUnavailableError or EnclaveUnreachableError if the manager does not give the history now.
        """
        with self._context.database.read() as snapshot:
            keys = list(PrivateStoreReader(snapshot).history_keys(group_id))
        return {past.marker_hash: past.private for _, key in keys for past in self._past(key)}

    def _find_in(self, key: bytes, marker_hash: bytes) -> PrivateTransaction | None:
        return next((past.private for past in self._past(key) if past.marker_hash == marker_hash), None)

    def _past(self, key: bytes) -> Sequence[PastTransaction]:
        try:
            return receive_history(self._context.manager, key).past
        except (PayloadNotFoundError, UnusablePayloadError):
            return ()
