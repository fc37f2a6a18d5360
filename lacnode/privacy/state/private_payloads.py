"""From a marker to the private transaction behind it: asking the manager, and Besu's checks of what it answers.

Must not show what it is given.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog

from lacnode.primitives.rlp import RlpError, RlpItem
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.payload_ownership import FLEXIBLE, find_refusal, parties_of_item
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.flexible.group_history import GroupHistory, decode_history_payload
from lacnode.privacy.state.privacy_marker import GroupMode, read_payload_key
from lacnode.privacy.state.private_transaction import PrivateTransaction, decode_payload_item, from_versioned_item
from lacnode.privacy.transaction_manager import EnclaveError, GroupType, ReceivedPayload, TransactionManager

log = structlog.get_logger("privacy")

GROUP_ID_BYTES = 32

_NOT_OURS = frozenset(("EnclavePayloadNotFound", "EnclaveKeysCannotDecryptPayload"))
_NOT_OURS_IN_TESSERA = re.compile(
    r"Message with hash .{0,200} was not found|No suitable recipient keys found to decrypt payload.{0,200}"
)


@dataclass(frozen=True, slots=True, repr=False)
class PrivatePayload:
    """A private transaction as the manager gave it back, with its group as the manager named it, and that group's
    `version` if it is a flexible one's."""

    private: PrivateTransaction
    sender: bytes
    group_id: bytes
    version: bytes | None


class PayloadNotFoundError(Exception):
    """The manager has nothing under this key that one of its own keys opens."""


class UnusablePayloadError(Exception):
    """The payload is there, and nothing can be made of it, now or later. The text does not quote it."""


class ForeignPayloadError(UnusablePayloadError):
    """The payload does not belong to the group that it was sent to, so that it is not for us. The text says why."""


class PayloadUnavailableError(Exception):
    """The manager answers, but not this."""


def is_payload_unknown(error: EnclaveError) -> bool:
    """Whether the manager says that there is no payload for us, rather than that it failed."""
    return error.code in _NOT_OURS or _NOT_OURS_IN_TESSERA.fullmatch(error.code) is not None


def receive(manager: TransactionManager, key: bytes, to: bytes | None = None) -> PrivatePayload:
    """The private transaction under `key`; PayloadNotFoundError, UnusablePayloadError, PayloadUnavailableError or
    EnclaveUnreachableError."""
    received = _received(manager, key, to)
    return _decoded(received, _item(received))


def _item(received: ReceivedPayload) -> RlpItem:
    try:
        return decode_payload_item(received.payload)
    except RlpError:
        raise UnusablePayloadError("it is no private transaction") from None


def _decoded(received: ReceivedPayload, item: RlpItem) -> PrivatePayload:
    try:
        private, version = from_versioned_item(item)
    except RlpError:
        raise UnusablePayloadError("it is no private transaction") from None
    return PrivatePayload(private, received.sender, received.group_id, version)


def receive_history(manager: TransactionManager, key: bytes) -> GroupHistory:
    """The history of a flexible group under `key`; raises like `receive`."""
    return receive_told_history(manager, key)[0]


def receive_told_history(manager: TransactionManager, key: bytes) -> tuple[GroupHistory, bytes]:
    """The same with the key (32 bytes) of the manager that told it."""
    received = _received(manager, key, None)
    try:
        return decode_history_payload(received.payload), received.sender
    except RlpError:
        raise UnusablePayloadError("it is no group's history") from None


def _received(manager: TransactionManager, key: bytes, to: bytes | None) -> ReceivedPayload:
    try:
        return manager.receive(key, to)
    except EnclaveError as error:
        if is_payload_unknown(error):
            raise PayloadNotFoundError from None
        raise PayloadUnavailableError(error.code[:200]) from None


def receive_owned(
    manager: TransactionManager, key: bytes, mode: GroupMode, to: bytes | None = None, *, unknown_passes: bool = False
) -> PrivatePayload:
    """The private transaction under `key`, if it belongs to the group that it was sent to (see `payload_ownership`; there
    also `unknown_passes`). Raises like `receive`, and ForeignPayloadError."""
    received = _received(manager, key, to)
    item = _item(received)  # once: a payload of fifteen megabytes takes a tenth of a second
    payload, parties = _decoded(received, item), parties_of_item(item)
    if parties is None:
        raise UnusablePayloadError("it is no private transaction")
    if mode is GroupMode.OFFCHAIN and len(received.group_id) != GROUP_ID_BYTES:
        raise PayloadUnavailableError("a group id that is not 32 bytes")
    why = find_refusal(
        parties, received.sender, received.group_id, _ManagersGroups(manager), unknown_passes=unknown_passes
    )
    if why is None and mode is GroupMode.OFFCHAIN and parties.is_flexible:
        why = FLEXIBLE
    if why is not None:
        raise ForeignPayloadError(why)
    return payload


def task_for(
    manager: TransactionManager, marker: Transaction, index: int, mode: GroupMode, *, admitted: bool = False
) -> PrivateTask:
    """What is to be executed at `marker`; raises like `receive_owned`. With `admitted` it was executed before, so the
    manager may have lost the group's record. Of a flexible group's members its contract knows, which is asked each time."""
    payload = receive_owned(manager, read_payload_key(marker), mode, unknown_passes=admitted)
    private = payload.private
    if mode is GroupMode.OFFCHAIN:
        return PrivateTask(index, private, payload.group_id)
    if private.group_id is None or payload.version is None:
        raise UnusablePayloadError("it is for no flexible group")
    return PrivateTask(index, private, private.group_id, payload.version)


class _ManagersGroups:
    """GroupKnowledge of a manager. Besu takes every error of the manager here for a group that is not there."""

    def __init__(self, manager: TransactionManager) -> None:
        self._manager = manager

    def named_members(self, group_id: bytes) -> Collection[bytes] | None:
        """See GroupKnowledge."""
        try:
            group = self._manager.retrieve_group(group_id)
        except EnclaveError:
            return None
        return group.members if group.type is GroupType.PANTHEON else ()

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Collection[bytes] | None:
        """See GroupKnowledge."""
        return self._manager.widened_members(named, group_id)
