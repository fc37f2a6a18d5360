"""From a marker to its private transaction: the request to the manager, and Besu's checks of its answer.

This module must not show the content of a payload.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from lacnode.primitives.rlp import RlpError, RlpItem
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.payload_ownership import FLEXIBLE, find_ownership_refusal, parties_of_item
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.flexible.group_history import GroupHistory, decode_history_payload
from lacnode.privacy.state.privacy_marker import GroupMode, read_payload_key
from lacnode.privacy.state.private_transaction import PrivateTransaction, decode_payload_item, decode_versioned_item
from lacnode.privacy.transaction_manager import EnclaveError, ReceivedPayload, TransactionManager

log = structlog.get_logger("privacy")

GROUP_ID_BYTES = 32

_NOT_OURS = frozenset(("EnclavePayloadNotFound", "EnclaveKeysCannotDecryptPayload"))
_NOT_OURS_IN_TESSERA = re.compile(
    r"Message with hash .{0,200} was not found|No suitable recipient keys found to decrypt payload.{0,200}"
)


@dataclass(frozen=True, slots=True, repr=False)
class PrivatePayload:
    """A private transaction as the manager returned it.

    `sender` is the public key that the manager names (32 bytes). `group_id` is the manager's, which differs from that
    of a flexible group. `version` is the version of a flexible group (32 bytes), else None.
    """

    private: PrivateTransaction
    sender: bytes
    group_id: bytes
    version: bytes | None


class PayloadNotFoundError(Exception):
    """The manager has no payload of this key that one of its own keys opens."""


class UnusablePayloadError(Exception):
    """The payload is here, but it cannot be executed. It never can be, except after a ForeignPayloadError, if the
    manager knows the group later. The text says why and does not quote the payload."""


class ForeignPayloadError(UnusablePayloadError):
    """The payload does not belong to the group that it was sent to. The text says why."""


class PayloadUnavailableError(Exception):
    """The manager answers, but it does not give this payload now, or the quota of private state is reached
    (PrivateStateFullError). The text says why."""


def _is_payload_unknown(error: EnclaveError) -> bool:
    """Return True if the manager's error says that it has no such payload for its keys. False for every other error: it
    may give the payload later."""
    return error.code in _NOT_OURS or _NOT_OURS_IN_TESSERA.fullmatch(error.code) is not None


def receive_payload(manager: TransactionManager, key: bytes, to: bytes | None = None) -> PrivatePayload:
    """Return the private transaction of the payload `key` (32 bytes), read by the own key `to` (32 bytes) or any own
    key. Whether it belongs to its group is not checked.

    PayloadNotFoundError if the manager has no such payload for its keys, UnusablePayloadError if it is no private
    transaction, PayloadUnavailableError if the manager fails to give it, EnclaveUnreachableError if it does not answer.
    """
    received = _received(manager, key, to)
    return _decoded(received, _item(received))


def _item(received: ReceivedPayload) -> RlpItem:
    try:
        return decode_payload_item(received.payload)
    except RlpError:
        raise UnusablePayloadError("it is no private transaction") from None


def _decoded(received: ReceivedPayload, item: RlpItem) -> PrivatePayload:
    try:
        private, version = decode_versioned_item(item)
    except RlpError:
        raise UnusablePayloadError("it is no private transaction") from None
    return PrivatePayload(private, received.sender, received.group_id, version)


def receive_history(manager: TransactionManager, key: bytes) -> GroupHistory:
    """Return the history of a flexible group in the payload `key` (32 bytes), read by any own key. PayloadNotFoundError
    if the manager has no such payload, UnusablePayloadError if it is no history, PayloadUnavailableError if the manager
    fails to give it, EnclaveUnreachableError if it does not answer."""
    return receive_history_and_sender(manager, key)[0]


def receive_history_and_sender(
    manager: TransactionManager, key: bytes, check: Callable[[], None] = lambda: None
) -> tuple[GroupHistory, bytes]:
    """Return the history of a flexible group in the payload `key` (32 bytes), and the public key (32 bytes) that sent
    it. `check` is called for each transaction, and its errors end the work.

    PayloadNotFoundError if the manager has no such payload, UnusablePayloadError if it is no history,
    PayloadUnavailableError if the manager fails to give it, EnclaveUnreachableError if it does not answer.
    """
    received = _received(manager, key, None)
    try:
        return decode_history_payload(received.payload, check), received.sender
    except RlpError:
        raise UnusablePayloadError("it is no group's history") from None


def _received(manager: TransactionManager, key: bytes, to: bytes | None) -> ReceivedPayload:
    try:
        return manager.receive(key, to)
    except EnclaveError as error:
        if _is_payload_unknown(error):
            raise PayloadNotFoundError from None
        # The text comes from the manager and may be long. It goes to the log.
        raise PayloadUnavailableError(error.code[:200]) from None


def receive_and_check_ownership(
    manager: TransactionManager, key: bytes, mode: GroupMode, to: bytes | None = None, *, unknown_passes: bool = False
) -> PrivatePayload:
    """Return the private transaction of the payload `key` (32 bytes), read by the own key `to` or any own key, if it
    belongs to the group that it was sent to. `mode` is the kind of groups of this node. `unknown_passes` is as in
    `payload_ownership.find_ownership_refusal`.

    PayloadNotFoundError if the manager has no such payload for its keys, ForeignPayloadError if it does not belong to
    that group, or is for a flexible group on a node without flexible groups, UnusablePayloadError if it is no private
    transaction, PayloadUnavailableError if the manager fails to give it, EnclaveUnreachableError if the manager does
    not answer.
    """
    received = _received(manager, key, to)
    # The item is decoded once and used twice: a payload of 15 MB takes a tenth of a second to decode.
    item = _item(received)
    payload, parties = _decoded(received, item), parties_of_item(item)
    if parties is None:
        raise UnusablePayloadError("it is no private transaction")
    # The id would be a database key of another length. Another group's rows could then be read by it.
    if mode is GroupMode.OFFCHAIN and len(received.group_id) != GROUP_ID_BYTES:
        raise PayloadUnavailableError("a group id that is not 32 bytes")
    why = find_ownership_refusal(parties, received.sender, received.group_id, manager, unknown_passes=unknown_passes)
    # A payload for a flexible group must not change a group of the manager on a node that has no flexible groups.
    if why is None and mode is GroupMode.OFFCHAIN and parties.is_flexible:
        why = FLEXIBLE
    if why is not None:
        raise ForeignPayloadError(why)
    return payload


def load_private_task(
    manager: TransactionManager, marker: Transaction, index: int, mode: GroupMode, *, admitted: bool = False
) -> PrivateTask:
    """Read the payload of `marker`, which is at `index` of its block, and return it as a task. `mode` is the kind of
    groups of this node. The errors are those of `receive_and_check_ownership`. UnusablePayloadError also if the payload
    names no flexible group and `mode` is FLEXIBLE.

    With `admitted` the payload was executed before, so the manager may have lost the group's record since. The contract
    of a flexible group names its members and is asked each time, not here.
    """
    payload = receive_and_check_ownership(manager, read_payload_key(marker), mode, unknown_passes=admitted)
    private = payload.private
    if mode is GroupMode.OFFCHAIN:
        return PrivateTask(index, private, payload.group_id)
    # A flexible group's payload names its group and version inside. Without both there is no contract to ask.
    if private.group_id is None or payload.version is None:
        raise UnusablePayloadError("it is for no flexible group")
    return PrivateTask(index, private, private.group_id, payload.version)
