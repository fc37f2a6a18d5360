"""From a marker to the private transaction behind it: asking the manager, and Besu's checks of what it answers.

Must not show what it is given.
"""

import re
from dataclasses import dataclass

import structlog

from lacnode.primitives.rlp import RlpError
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.flexible.history import GroupHistory, from_history_payload
from lacnode.privacy.state.marker import GroupMode, payload_key_of
from lacnode.privacy.state.private_transaction import PrivateTransaction, from_versioned_payload
from lacnode.privacy.transaction_manager import ManagerError, ReceivedPayload, TransactionManager

log = structlog.get_logger("privacy")

_NOT_OURS = frozenset(("EnclavePayloadNotFound", "EnclaveKeysCannotDecryptPayload"))
_NOT_OURS_IN_TESSERA = re.compile(
    r"Message with hash .{0,200} was not found|No suitable recipient keys found to decrypt payload.{0,200}"
)


@dataclass(frozen=True, slots=True, repr=False)
class Payload:
    """A private transaction as the manager gave it back, with its group as the manager named it, and that group's
    `version` if it is a flexible one's."""

    private: PrivateTransaction
    sender: bytes
    group_id: bytes
    version: bytes | None


class NoPayload(Exception):
    """The manager has nothing under this key that one of its own keys opens."""


class UselessPayload(Exception):
    """The payload is there, and nothing can be made of it, now or later. The text does not quote it."""


class ManagerFails(Exception):
    """The manager answers, but not this."""


def is_not_ours(error: ManagerError) -> bool:
    """Whether the manager says that there is no payload for us, rather than that it failed."""
    return error.code in _NOT_OURS or _NOT_OURS_IN_TESSERA.fullmatch(error.code) is not None


def receive(manager: TransactionManager, key: bytes, to: bytes | None = None) -> Payload:
    """The private transaction under `key`; NoPayload, UselessPayload, ManagerFails or ManagerUnreachable."""
    received = _received(manager, key, to)
    try:
        private, version = from_versioned_payload(received.payload)
    except RlpError:
        raise UselessPayload("it is no private transaction") from None
    return Payload(private, received.sender, received.group_id, version)


def receive_history(manager: TransactionManager, key: bytes) -> GroupHistory:
    """The history of a flexible group under `key`; raises like `receive`."""
    received = _received(manager, key, None)
    try:
        return from_history_payload(received.payload)
    except RlpError:
        raise UselessPayload("it is no group's history") from None


def _received(manager: TransactionManager, key: bytes, to: bytes | None) -> ReceivedPayload:
    try:
        return manager.receive(key, to)
    except ManagerError as error:
        if is_not_ours(error):
            raise NoPayload from None
        raise ManagerFails(error.code[:200]) from None


def task_for(
    manager: TransactionManager, marker: Transaction, index: int, mode: GroupMode, *, admitted: bool = False
) -> PrivateTask:
    """What is to be executed at `marker`; raises like `receive`. Who is `admitted` has been found a member before; of a
    flexible group's members its contract knows, which is asked each time."""
    payload = receive(manager, payload_key_of(marker))
    private = payload.private
    if private.private_from != payload.sender:
        raise UselessPayload("its privateFrom is not the key that sent it")
    if mode is GroupMode.FLEXIBLE:
        if private.group_id is None or payload.version is None:
            raise UselessPayload("it is for no flexible group")
        return PrivateTask(index, private, private.group_id, payload.version)
    if len(payload.group_id) != 32:
        raise ManagerFails("a group id that is not 32 bytes")
    if private.private_for is None and not admitted and not _is_member(manager, payload):
        raise UselessPayload("its sender is no member of the group")
    return PrivateTask(index, private, payload.group_id)


def _is_member(manager: TransactionManager, payload: Payload) -> bool:
    """Besu takes every error of the manager here for a group that is not there."""
    try:
        return payload.private.private_from in manager.retrieve_group(payload.group_id).members
    except ManagerError:
        return False
