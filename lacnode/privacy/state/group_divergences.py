"""What an operator decides about a group whose members have different states: compare, accept or dismiss a history."""

from lacnode.privacy.state.flexible.contradicting_histories import (
    ContradictingHistoryReader,
    ContradictingHistoryWriter,
)
from lacnode.privacy.state.group_rebuilding import GroupRebuilder
from lacnode.privacy.state.payload_repair import DUE_AT_ONCE
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_states import PrivateStates
from lacnode.privacy.state.private_store import AbsentMarker, Divergence, PrivateStoreReader, PrivateStoreWriter


class GroupDivergences:
    """Records and ends the divergences of groups by the operator's decisions. Safe to use from any thread. StorageError
    from every method if the database fails."""

    def __init__(self, context: PrivacyContext, rebuilder: GroupRebuilder, states: PrivateStates) -> None:
        self._context = context
        self._rebuilder = rebuilder
        self._states = states

    def accept_history(self, group_id: bytes, teller: bytes) -> bool:
        """Record that the operator accepts the history of the group `group_id` that the key `teller` sent (32 bytes
        each): it is to replace what was executed here. Return True if that is recorded, also for a dismissed history.
        Return False if no contradicting history of this key is recorded. GroupRebuildError if the block of the
        history's marker is missing.

        The thread of private execution replaces the state soon after this has returned. It stores the history first and
        then executes what comes after it, in two commits. If the second step fails, for example because a payload is
        missing, the group ends where the history ends. The step is tried again like that of a late payload.
        """
        with self._context.database.write() as batch:
            told = ContradictingHistoryReader(batch).find_by_teller(group_id, teller)
            if told is None:
                return False
            # The marker becomes due at once. The private thread then reads the history again and finds it accepted.
            ContradictingHistoryWriter(batch).accept(told)
            marker, waiting = self._rebuilder.read_marker(told.place), PrivateStoreReader(batch).absent_at(told.place)
            # The marker may wait for its own payload. That payload must still be found by its key when it arrives. The
            # history is taken over with it.
            key = told.payload_key if waiting is None else waiting.payload_key
            PrivateStoreWriter(batch).write_absent(
                AbsentMarker(told.place, marker.hash, key, False, 0, DUE_AT_ONCE, is_preferred=True)
            )
        return True

    def dismiss_history(self, group_id: bytes, teller: bytes) -> bool:
        """Record that the history of the group `group_id` that the key `teller` sent (32 bytes each) does not count
        from now on. It is not asked for again. The marker still waits for its own payload. Return False if no
        contradicting history of this key is recorded."""
        with self._context.database.write() as batch:
            told = ContradictingHistoryReader(batch).find_by_teller(group_id, teller)
            if told is None:
                return False
            ContradictingHistoryWriter(batch).dismiss(told)
            waiting = PrivateStoreReader(batch).absent_at(told.place)
            # The same place may have the record of the marker's own payload. Without it this would never be executed.
            if waiting is not None and waiting.payload_key == told.payload_key:
                PrivateStoreWriter(batch).delete_absent(told.place)
        return True

    def compare_and_record(self, group_id: bytes, number: int, expected: bytes) -> bool:
        """Return True if the state root of the group `group_id` (32 bytes) after block `number` is `expected` (32
        bytes), another member's root. This does not wait for private execution: if that is behind, an earlier root is
        compared.

        If it differs, a divergence without a known member is recorded. It ends when a given root agrees, all members
        agree, or the group is rebuilt.
        """
        # The root is read first. The comparison by hand does not wait for private execution.
        found = self._states.root_at(group_id, number)
        with self._context.database.write() as batch:
            if found == expected:
                PrivateStoreWriter(batch).delete_divergence(group_id)
            else:
                PrivateStoreWriter(batch).write_divergence(group_id, Divergence(number, expected, found))
        return found == expected
