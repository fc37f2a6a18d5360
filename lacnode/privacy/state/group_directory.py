"""Where the groups of a node stand: one interface for the groups of the manager and for flexible groups.

The manager has the records of its groups. A contract lists the members of each flexible group. A node has one of the two
kinds, and no caller has to ask which one. This module must not send anything to the chain.
"""

import math
from typing import Protocol

from lacnode.privacy.state.private_send_error import PrivateSendError, PrivateSendReason
from lacnode.privacy.state.private_transaction import PrivateTransaction, encode_payload_text
from lacnode.privacy.transaction_manager import GroupType, PrivacyGroup, TransactionManager


class GroupDirectory(Protocol):
    """The groups of a node: it names their members, and sends private transactions to them through the manager.

    Safe to use from any thread. EnclaveUnreachableError if the manager is asked and does not answer.
    """

    @property
    def has_fixed_members(self) -> bool:
        """Whether the members of a group never change: True for groups of the manager, False for flexible groups."""
        ...

    def members_at(
        self, group_id: bytes, number: int | None = None, deadline_seconds: float = math.inf
    ) -> tuple[bytes, ...] | None:
        """Return the public keys of the members of the group `group_id` (32 bytes) as of block `number`, or of the head
        for None. None if it is a flexible group that does not exist yet, or if the call of its contract fails.

        EnclaveError if the manager has no such group, EnclaveUnreachableError if it does not answer.
        CallLimitExceededError if a contract does not answer in time, or not by `deadline_seconds` on the monotonic
        clock. MissingNodeError if the state of that block is not kept.
        """
        ...

    def distribute(self, private: PrivateTransaction, own_key: bytes) -> bytes:
        """Let the manager store `private` and send it to the members of its group, for the caller with the key
        `own_key` (32 bytes).

        Return the data of the marker: the key of the payload (32 bytes) and, for new members of a flexible group with a
        history, the key of the history (32 bytes). PrivateSendError, EnclaveError, EnclaveUnreachableError or, for a
        contract without an answer, CallLimitExceededError if it fails. Then no marker may be sent. The marker itself is
        not made here.
        """
        ...


class ManagerGroups:
    """The groups that the transaction manager keeps, and the groups of recipients: a `GroupDirectory`. Safe to use from
    any thread."""

    has_fixed_members = True

    def __init__(self, manager: TransactionManager) -> None:
        self._manager = manager

    def members_at(
        self, group_id: bytes, number: int | None = None, deadline_seconds: float = math.inf
    ) -> tuple[bytes, ...] | None:
        """Return the public keys of the members of the group `group_id` (32 bytes), as the manager has them. `number`
        and `deadline_seconds` have no influence, because these members never change. It never returns None. EnclaveError
        if the manager has no such group, EnclaveUnreachableError if it does not answer."""
        return self._manager.retrieve_group(group_id).members

    def distribute(self, private: PrivateTransaction, own_key: bytes) -> bytes:
        """Let the manager store `private` and send it to the members of its group, for the caller with the key
        `own_key` (32 bytes). Return the key of the payload (32 bytes), which is the data of the marker.
        PrivateSendError if `private` names a group of recipients by its id. EnclaveError if the group is unknown or the
        manager refuses, EnclaveUnreachableError if it does not answer."""
        # The group is looked up first. An unknown group is then reported before the payload is encoded or stored.
        group = self._group_of(private)
        payload = encode_payload_text(private)
        if group is None:
            # A transaction without recipients is for the sender alone. The manager needs at least one key.
            recipients = private.private_for or (private.private_from,)
            return self._manager.send(payload, private.private_from, recipients)
        # Besu's rule: a group of recipients is named by its recipients, and not by its id.
        if group.type is not GroupType.PANTHEON:
            raise PrivateSendError(PrivateSendReason.WRONG_GROUP_TYPE)
        return self._manager.send_to_group(payload, own_key, group.id)

    def _group_of(self, private: PrivateTransaction) -> PrivacyGroup | None:
        """Return the group that `private` names, from the manager. None if it names its recipients."""
        return None if private.group_id is None else self._manager.retrieve_group(private.group_id)
