"""The results of private transactions, by the markers that announced them.

The content of a group is for its members alone. The caller of these methods has to check that.
"""

from dataclasses import dataclass, replace

from lacnode.chain.chain_store import TransactionLocation
from lacnode.privacy.state.long_private_transactions import LongTransactionReader
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_records import PrivateReceipt, PrivateStatus
from lacnode.privacy.state.private_states import PrivateStates
from lacnode.privacy.state.private_store import MarkerPlace, PrivateStoreReader
from lacnode.privacy.state.private_transaction import PrivateTransaction


@dataclass(frozen=True, slots=True, repr=False)
class FoundPrivateTransaction:
    """A private transaction, the hash, place and payload key of its marker, and the id of the group that the manager
    named (32 bytes each hash, key and id)."""

    private: PrivateTransaction
    group_id: bytes
    marker_hash: bytes
    payload_key: bytes
    place: TransactionLocation


class PrivateReceipts:
    """The private receipts of this node. Safe to use from any thread."""

    def __init__(self, context: PrivacyContext, states: PrivateStates) -> None:
        self._context = context
        self._states = states

    def find_receipt(self, found: FoundPrivateTransaction) -> PrivateReceipt | None:
        """Return the private receipt of a found transaction. None while the transaction waits: its block is not
        executed privately yet, its payload is recorded as absent (`PrivateStoreReader.absent_at`), or it is a long
        transaction that waits or is executed beside the blocks (`long_private_transactions`). This waits a short time
        for private execution.

        Any other transaction that was not executed here has a failed receipt, as in Besu.
        """
        place = found.place
        # Not executed yet is not failed. The client has to ask again.
        if not self._states.wait_until_executed(place.number):
            return None
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            receipt = _own_receipt(stored, found, place, found.marker_hash)
            absent = stored.absent_at(MarkerPlace(place.number, place.index))
            is_long = LongTransactionReader(snapshot).has_transaction_at(MarkerPlace(place.number, place.index))
        # A marker waits for its own payload. A record of its history has another key, and its receipt is final.
        waits = is_long or (absent is not None and absent.payload_key == found.payload_key)
        return None if receipt is None and waits else receipt or PrivateReceipt(PrivateStatus.FAILED)

    def at_first_successful_marker(self, found: FoundPrivateTransaction) -> FoundPrivateTransaction:
        """Return `found` with the marker that executed it with success, if that is another marker of the same payload
        and the receipt at its own marker is INVALID. Else `found` itself.

        Any account may send such a marker first. The receipt of the own marker then says only that the nonce is used.
        """
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            # Only a receipt with the status of a used nonce is looked at. Any other one is this marker's own result.
            own, first = (
                _own_receipt(stored, found, found.place, found.marker_hash),
                stored.first_successful_marker(found.payload_key),
            )
            if own is None or own.status is not PrivateStatus.INVALID or first is None or first[1] == found.marker_hash:
                return found
            place = self._context.history.transaction_location(first[1])
            before = None if place is None else _own_receipt(stored, found, place, first[1])
        if place is None or before is None or before.status is not PrivateStatus.SUCCESSFUL:
            return found
        # The payload is the same, so only the marker and its place change.
        return replace(found, marker_hash=first[1], place=place)


def _own_receipt(
    stored: PrivateStoreReader, found: FoundPrivateTransaction, place: TransactionLocation, marker_hash: bytes
) -> PrivateReceipt | None:
    """Return the receipt of the transaction's own group at a marker, None if there is none."""
    # The payload of a flexible group names its group inside. The manager names another one.
    group_id = found.group_id if found.private.group_id is None else found.private.group_id
    return stored.receipt(place.block_hash, marker_hash, group_id)
