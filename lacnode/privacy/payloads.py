"""From a marker to the private transaction behind it: asking the manager, and Besu's checks of what it answers.

Must not show what it is given.
"""

import re
from dataclasses import dataclass

import structlog

from lacnode.primitives.rlp import RlpError
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.execution import PrivateTask
from lacnode.privacy.marker import PAYLOAD_KEY_SIZE, is_marker
from lacnode.privacy.private_transaction import PrivateTransaction, from_payload
from lacnode.privacy.transaction_manager import ManagerError, TransactionManager

log = structlog.get_logger("privacy")

_NOT_OURS = frozenset(("EnclavePayloadNotFound", "EnclaveKeysCannotDecryptPayload"))
_NOT_OURS_IN_TESSERA = re.compile(
    r"Message with hash .{0,200} was not found|No suitable recipient keys found to decrypt payload.{0,200}"
)


@dataclass(frozen=True, slots=True, repr=False)
class Payload:
    """A private transaction as the manager gave it back, with its group as the manager named it."""

    private: PrivateTransaction
    sender: bytes
    group_id: bytes


class NoPayload(Exception):
    """The manager has nothing under this key that one of its own keys opens."""


class UselessPayload(Exception):
    """The payload is there, and nothing can be made of it, now or later. The text does not quote it."""


class ManagerFails(Exception):
    """The manager answers, but not this."""


def is_not_ours(error: ManagerError) -> bool:
    """Whether the manager says that there is no payload for us, rather than that it failed."""
    return error.code in _NOT_OURS or _NOT_OURS_IN_TESSERA.fullmatch(error.code) is not None


def may_announce(transaction: Transaction) -> bool:
    """Whether a public transaction is a marker with a payload key."""
    return is_marker(transaction) and len(transaction.data) == PAYLOAD_KEY_SIZE


def receive(manager: TransactionManager, key: bytes, to: bytes | None = None) -> Payload:
    """The private transaction under `key`; NoPayload, UselessPayload, ManagerFails or ManagerUnreachable."""
    try:
        received = manager.receive(key, to)
    except ManagerError as error:
        if is_not_ours(error):
            raise NoPayload from None
        raise ManagerFails(error.code[:200]) from None
    try:
        return Payload(from_payload(received.payload), received.sender, received.group_id)
    except RlpError:
        raise UselessPayload("it is no private transaction") from None


def task_for(manager: TransactionManager, marker: Transaction, index: int, *, admitted: bool = False) -> PrivateTask:
    """What is to be executed at `marker`; raises like `receive`. Who is `admitted` has been found a member before."""
    payload = receive(manager, marker.data)
    private = payload.private
    if private.private_from != payload.sender:
        raise UselessPayload("its privateFrom is not the key that sent it")
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
