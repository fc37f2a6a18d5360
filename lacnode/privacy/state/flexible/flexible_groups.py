"""Flexible groups for senders: the members, the history for new members, and the delivery by the manager.

Follows Besu's `FlexiblePrivacyController`. This module must not send anything to the chain.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial

from lacnode.privacy.state.flexible.flexible_group import FlexibleGroup
from lacnode.privacy.state.flexible.group_contract_queries import Ask, ask_members, ask_version
from lacnode.privacy.state.flexible.group_contracts import added_members, adds_members
from lacnode.privacy.state.flexible.group_history import PastTransaction, encode_history_payload
from lacnode.privacy.state.flexible.group_history_reader import GroupHistoryReader
from lacnode.privacy.state.flexible.group_search import CONTRACT_ANSWER_SECONDS, GroupSearch
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import read_payload_key
from lacnode.privacy.state.private_payloads import (
    PayloadNotFoundError,
    PayloadUnavailableError,
    UnusablePayloadError,
    receive_payload,
)
from lacnode.privacy.state.private_records import MarkerRoot
from lacnode.privacy.state.private_send_error import PrivateSendError, PrivateSendReason
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.privacy.state.private_transaction import PrivateTransaction, encode_versioned_payload

ContractAsker = Callable[[bytes, int | None, float], Ask]
"""Returns the questions to a group's contract as of a block (None for the public head), until a time on the monotonic clock
in seconds. CallLimitExceededError then."""


class FlexibleGroups:
    """The flexible groups of this node: a `GroupDirectory`. Safe to use from any thread.

    `contract_asker` gives the questions to a group's contract. `wait_until_executed` waits a short time until a block
    (None for the public head) is executed privately.
    """

    has_fixed_members = False

    def __init__(
        self,
        context: PrivacyContext,
        contract_asker: ContractAsker,
        wait_until_executed: Callable[[int | None], bool],
    ) -> None:
        self._context = context
        self._contract_asker = contract_asker
        self._wait_until_executed = wait_until_executed
        self._histories = GroupHistoryReader(context)
        self._search = GroupSearch(context, lambda group_id, until_seconds: self._find(group_id, None, until_seconds))

    def members_at(
        self, group_id: bytes, number: int | None = None, deadline_seconds: float = math.inf
    ) -> tuple[bytes, ...] | None:
        """Return the public keys that the contract of the group `group_id` (32 bytes) lists after block `number`, or
        after the head for None. None if there is no such group yet, or if the call of its contract fails. The answer is
        of earlier blocks if private execution is behind. CallLimitExceededError if the contract does not answer in
        time, or not by `deadline_seconds` on the monotonic clock. MissingNodeError if the state of that block is not
        kept."""
        group = self.find(group_id, number, deadline_seconds)
        return None if group is None else group.members

    def find(
        self, group_id: bytes, number: int | None = None, deadline_seconds: float = math.inf
    ) -> FlexibleGroup | None:
        """Return the group `group_id` (32 bytes) as of block `number`, or of the head for None. None if there is no
        such group, or if the call of its contract fails.

        This waits a short time for private execution. The answer is of earlier blocks if it is still behind then.
        CallLimitExceededError if the contract does not answer within `CONTRACT_ANSWER_SECONDS`, or by
        `deadline_seconds` on the monotonic clock. MissingNodeError if the state of that block is not kept.
        """
        self._wait_until_executed(number)
        return self._find(group_id, number, min(deadline_seconds, time.monotonic() + CONTRACT_ANSWER_SECONDS))

    def _find(self, group_id: bytes, number: int | None, deadline_seconds: float) -> FlexibleGroup | None:
        found = ask_members(self._contract_asker(group_id, number, deadline_seconds))
        return None if found is None else FlexibleGroup(group_id, found)

    def find_including_members(self, keys: Sequence[bytes]) -> list[FlexibleGroup]:
        """Return every group that has all of `keys` (public keys of 32 bytes) as members, in the order of the ids.
        Groups whose contract does not answer are left out: their members may have made the contract so.

        CallLimitExceededError if not all groups were looked at since the start (see `GroupSearch.find_all`).
        """
        self._wait_until_executed(None)
        return [group for group in self._search.find_all() if set(keys) <= set(group.members)]

    def _recipients(self, private: PrivateTransaction, own_key: bytes) -> FlexibleGroup:
        """Return the group of `private` and the members that it adds. PrivateSendError if it cannot be sent there."""
        if private.group_id is None:
            raise PrivateSendError(PrivateSendReason.NO_GROUP_ID)
        group = self.find(private.group_id)
        # A transaction that adds members is sent to them too. They need it to execute the addition.
        joining = added_members(private)
        # A new group has no members yet. Its first transaction names them.
        present = () if group is None else group.members
        members = tuple(dict.fromkeys((*present, *joining)))
        # The error is that of a group that does not exist. A caller that is no member does not learn whether it does.
        if own_key not in members:
            raise PrivateSendError(PrivateSendReason.NO_SUCH_GROUP)
        return FlexibleGroup(private.group_id, members)

    def distribute(self, private: PrivateTransaction, own_key: bytes) -> bytes:
        """Let the manager store `private` and send it to the members of its flexible group, for the caller with the key
        `own_key` (32 bytes). Members that `private` adds also receive the history of the group, if it has one. Return
        the data of the marker: the key of the payload (32 bytes), followed by that of the history (32 bytes) if one was
        sent. PrivateSendError if the group is not named, does not have the caller as a member, or has lost a payload.
        EnclaveError or EnclaveUnreachableError if the manager fails, CallLimitExceededError if the contract does not
        answer in time."""
        group = self._recipients(private, own_key)
        manager, sender = self._context.manager, private.private_from
        # The history is read before anything is sent. A lost payload must not leave new members without a history.
        past = self._past(group.id) if adds_members(private) else []
        # The version is read now. If members change before the marker is mined, the contract refuses the transaction,
        # because the new members do not have it.
        payload = encode_versioned_payload(
            private, ask_version(self._contract_asker(group.id, None, time.monotonic() + CONTRACT_ANSWER_SECONDS))
        )
        key = manager.send(payload, sender, group.members)
        if not past:
            return key
        return key + manager.send(encode_history_payload(past), sender, added_members(private))

    # -- the history -------------------------------------------------------------------------------------------------

    def _past(self, group_id: bytes) -> list[PastTransaction]:
        """Return everything that was executed in the group. PrivateSendError if the manager lost some of it."""
        # The history of a late member is read once, and only if it is needed.
        told = cache(partial(self._histories.transactions_of, group_id))
        try:
            return [self._past_transaction(group_id, root, told) for root in self._roots(group_id)]
        except PayloadUnavailableError as lost:
            raise PrivateSendError(PrivateSendReason.LOST_PAYLOAD, str(lost)) from None

    def _roots(self, group_id: bytes) -> Iterator[MarkerRoot]:
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            # `changed_blocks_down_to` yields the last block first. A history is in the order of the chain.
            numbers = reversed(list(stored.changed_blocks_down_to(group_id, 0)))
            roots = [
                stored.roots_in_block(self._context.history.hash_at(number) or b"", group_id) for number in numbers
            ]
        return (root for block in roots for root in block)

    def _past_transaction(
        self, group_id: bytes, root: MarkerRoot, told: Callable[[], Mapping[bytes, PrivateTransaction]]
    ) -> PastTransaction:
        place = self._context.history.transaction_location(root.marker_hash)
        block = None if place is None else self._context.history.block_of(place.block_hash)
        if place is None or block is None:
            raise PayloadUnavailableError("the block of a private transaction is not there")
        try:
            own = receive_payload(self._context.manager, read_payload_key(block.transactions[place.index])).private
        except (PayloadNotFoundError, UnusablePayloadError):
            own = None
        # A stranger's history of its own group may name the marker of another group, whose payload is here. New members
        # of the stranger's group must not receive it.
        if own is not None and own.group_id == group_id:
            return PastTransaction(own, root.marker_hash, root.root)
        # This node may be a late member itself. What came before its own addition is in the history it received.
        found = told().get(root.marker_hash)
        if found is None:
            raise PayloadUnavailableError("a payload of the group's past is lost")
        return PastTransaction(found, root.marker_hash, root.root)
