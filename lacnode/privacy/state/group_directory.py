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
        """Whether the members of a group never change."""
        ...

    def members_at(
        self, group_id: bytes, number: int | None = None, deadline_seconds: float = math.inf
    ) -> tuple[bytes, ...] | None:
        """Return the public keys of the group's members as of block `number` or the head. None if it has none yet.

        EnclaveError if the manager has no such group. CallLimitExceededError if a contract does not answer in time, or
        not by `deadline_seconds` on the monotonic clock.
        """
        ...

    def distribute(self, private: PrivateTransaction, own_key: bytes) -> bytes:
        """Let the manager store `private` and send it to its members, for the caller with the key `own_key` (32 bytes).

        Return the data of the marker: the key of the payload and, for new members of a flexible group, the key of its
        history. PrivateSendError, EnclaveError or EnclaveUnreachableError if it fails. Then no marker may be sent.
        """
        ...


class ManagerGroups:
    """The groups that the transaction manager keeps, and the groups of recipients."""

    has_fixed_members = True

    def __init__(self, manager: TransactionManager) -> None:
        self._manager = manager

    def members_at(
        self, group_id: bytes, number: int | None = None, deadline_seconds: float = math.inf
    ) -> tuple[bytes, ...] | None:
        """Return the public keys of the group's members, as the manager has them. `number` has no influence, because
        these members never change. EnclaveError if the manager has no such group."""
        return self._manager.retrieve_group(group_id).members

    def distribute(self, private: PrivateTransaction, own_key: bytes) -> bytes:
        """Let the manager store `private` and send it to the members of its group, for the caller with the key
        `own_key` (32 bytes). Return the key of the payload, which is the data of the marker. PrivateSendError if
        `private` names a group of recipients by its id. EnclaveError or EnclaveUnreachableError if the manager
        fails."""
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
