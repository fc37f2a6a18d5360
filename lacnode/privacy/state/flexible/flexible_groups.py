"""Flexible groups as senders need them: who is in one, what is told to new members, and having the manager send it.

Follows Besu's `FlexiblePrivacyController`. Must not announce anything on the chain.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lacnode.evm.engine import CallExpiredError
from lacnode.privacy.state.flexible.group_contract_queries import Ask, members, version
from lacnode.privacy.state.flexible.group_contracts import added_members, is_addition
from lacnode.privacy.state.flexible.group_history import PastTransaction, encode_history_payload
from lacnode.privacy.state.flexible.group_history_reader import GroupHistoryReader
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import read_payload_key
from lacnode.privacy.state.private_payloads import PayloadNotFoundError, PayloadUnavailableError, receive
from lacnode.privacy.state.private_records import MarkerRoot
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.privacy.state.private_transaction import PrivateTransaction, encode_versioned_payload


class NoGroupIdError(Exception):
    """A private transaction for a flexible group that names none."""


class NoSuchGroupError(Exception):
    """There is no such flexible group, or the sender is not in it."""


@dataclass(frozen=True, slots=True)
class FlexibleGroup:
    """A group's id and its members' keys, in the contract's order."""

    id: bytes
    members: tuple[bytes, ...]


class FlexibleGroups:
    """`contract_of` gives a way to ask a group's contract as of a block, the public head for None. Safe from any thread."""

    def __init__(self, context: PrivacyContext, contract_of: Callable[[bytes, int | None], Ask]) -> None:
        self._context = context
        self._contract_of = contract_of
        self._histories = GroupHistoryReader(context)

    def find(self, group_id: bytes, number: int | None = None) -> FlexibleGroup | None:
        """The group as of block `number`, or the head."""
        found = members(self._contract_of(group_id, number))
        return None if found is None else FlexibleGroup(group_id, found)

    def find_with_members(self, keys: Sequence[bytes]) -> list[FlexibleGroup]:
        """Every group that has all of `keys` among its members."""
        with self._context.database.read() as snapshot:
            ids = list(PrivateStoreReader(snapshot).groups())
        found = [group for group in map(self._find_in_time, ids) if group is not None]
        return [group for group in found if set(keys) <= set(group.members)]

    def _find_in_time(self, group_id: bytes) -> FlexibleGroup | None:
        """None for a group whose contract does not answer in time too: its members may have made it so, and others' groups
        are asked for."""
        try:
            return self.find(group_id)
        except CallExpiredError:
            return None

    def recipients(self, private: PrivateTransaction) -> FlexibleGroup:
        """The group that `private` is for, with whom it adds; NoGroupIdError or NoSuchGroupError."""
        if private.group_id is None:
            raise NoGroupIdError
        group = self.find(private.group_id)
        joining = added_members(private)
        if group is None and not joining:
            raise NoSuchGroupError
        present = () if group is None else group.members
        return FlexibleGroup(private.group_id, tuple(dict.fromkeys((*present, *joining))))

    def distribute(self, private: PrivateTransaction, group: FlexibleGroup) -> bytes:
        """Have the manager send `private` to the group and, where members are added to one with a past, that past to them;
        the keys of both, as the marker has them. EnclaveError or EnclaveUnreachableError."""
        manager, sender = self._context.manager, private.private_from
        past = self._past(group.id) if is_addition(private) else []
        payload = encode_versioned_payload(private, version(self._contract_of(group.id, None)))
        key = manager.send(payload, sender, group.members)
        if not past:
            return key
        return key + manager.send(encode_history_payload(past), sender, added_members(private))

    # -- the past ----------------------------------------------------------------------------------------------------

    def _past(self, group_id: bytes) -> list[PastTransaction]:
        """Everything that was carried out in the group. PayloadUnavailableError where the manager has lost some of it."""
        return [self._past_transaction(root) for root in self._roots(group_id)]

    def _roots(self, group_id: bytes) -> Iterator[MarkerRoot]:
        with self._context.database.read() as snapshot:
            stored = PrivateStoreReader(snapshot)
            numbers = reversed(list(stored.changes_from(group_id, 0)))
            roots = [stored.metadata(self._context.history.hash_at(number) or b"", group_id) for number in numbers]
        return (root for block in roots for root in block)

    def _past_transaction(self, root: MarkerRoot) -> PastTransaction:
        place = self._context.history.transaction_location(root.marker_hash)
        block = None if place is None else self._context.history.block_of(place.block_hash)
        if place is None or block is None:
            raise PayloadUnavailableError("the block of a private transaction is not there")
        try:
            private = receive(self._context.manager, read_payload_key(block.transactions[place.index])).private
        except PayloadNotFoundError:
            told = self._histories.told(root.marker_hash)
            if told is None:
                raise PayloadUnavailableError("a payload of the group's past is lost") from None
            private = told[1]
        return PastTransaction(private, root.marker_hash, root.root)
