"""The history of a flexible group, which new members receive: each private transaction and the state root after it.

Follows Besu's `PrivateTransactionWithMetadata`. A history is believed if its execution gives the same roots.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem
from lacnode.privacy.state.private_transaction import PrivateTransaction, decode_payload_item


@dataclass(frozen=True, slots=True, repr=False)
class PastTransaction:
    """A private transaction that was executed at the marker with the hash `marker_hash` (32 bytes), and the group's
    state root after it (32 bytes)."""

    private: PrivateTransaction
    marker_hash: bytes
    root: bytes


@dataclass(frozen=True, slots=True, repr=False)
class GroupHistory:
    """The history of the group `group_id` (32 bytes), in the order of the chain. It is not empty."""

    group_id: bytes
    past: tuple[PastTransaction, ...]


def encode_history_payload(past: Sequence[PastTransaction]) -> bytes:
    """Return the payload for new members: the RLP of the list in base64, as ASCII bytes. `past` is in the order of the
    chain."""
    items: list[rlp.RlpValue] = [
        [rlp.decode_list(entry.private.raw, "private transaction"), [entry.marker_hash, entry.root]] for entry in past
    ]
    return base64.b64encode(rlp.encode(items))


def decode_history_payload(payload: bytes, check: Callable[[], None] = lambda: None) -> GroupHistory:
    """Decode what `encode_history_payload` encoded. RlpError if it is malformed or not the history of exactly one
    group. Neither signatures nor roots are checked.

    `check` is called for each transaction. It may raise an error to end the work.
    """
    past = []
    for item in rlp.as_list(decode_payload_item(payload), "history"):
        # A stranger's history may have 55,000 transactions, which take seconds.
        check()
        past.append(_past_transaction(item))
    # One history speaks of one group. A mixed one could carry transactions into a group without its members' consent.
    groups = {entry.private.group_id for entry in past}
    if len(groups) != 1:
        raise RlpError("history: transactions of one group were expected")
    (group_id,) = groups
    if group_id is None:
        raise RlpError("history: transactions of a group were expected")
    return GroupHistory(group_id, tuple(past))


def _past_transaction(item: RlpItem) -> PastTransaction:
    fields = RlpFields(rlp.as_list(item, "history entry"), "history entry")
    private = PrivateTransaction.from_item(fields.item("transaction"))
    metadata = RlpFields(rlp.as_list(fields.item("metadata"), "history metadata"), "history metadata")
    entry = PastTransaction(private, metadata.bytes("marker hash", 32), metadata.bytes("state root", 32))
    metadata.check_no_fields_left()
    fields.check_no_fields_left()
    return entry
