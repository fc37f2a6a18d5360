"""Flexible groups as senders need them: who is in one, what is told to new members, and having the manager send it.

Follows Besu's `FlexiblePrivacyController`. Must not announce anything on the chain.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lacnode.evm.engine import CallExpired
from lacnode.privacy.state.flexible.contracts import added_members, is_addition
from lacnode.privacy.state.flexible.histories import Histories
from lacnode.privacy.state.flexible.history import PastTransaction, to_history_payload
from lacnode.privacy.state.flexible.rules import Ask, members, version
from lacnode.privacy.state.marker import payload_key_of
from lacnode.privacy.state.payloads import ManagerFails, NoPayload, receive
from lacnode.privacy.state.private_transaction import PrivateTransaction, to_versioned_payload
from lacnode.privacy.state.records import MarkerRoot
from lacnode.privacy.state.store import StoredPrivate
from lacnode.privacy.state.surroundings import Surroundings


class NoGroupId(Exception):
    """A private transaction for a flexible group that names none."""


class NoSuchGroup(Exception):
    """There is no such flexible group, or the sender is not in it."""


@dataclass(frozen=True, slots=True)
class FlexibleGroup:
    """A group's id and its members' keys, in the contract's order."""

    id: bytes
    members: tuple[bytes, ...]


class FlexibleGroups:
    """`contract_of` gives a way to ask a group's contract as of a block, the public head for None. Safe from any thread."""

    def __init__(self, around: Surroundings, contract_of: Callable[[bytes, int | None], Ask]) -> None:
        self._around = around
        self._contract_of = contract_of
        self._histories = Histories(around)

    def find(self, group_id: bytes, number: int | None = None) -> FlexibleGroup | None:
        """The group as of block `number`, or the head."""
        found = members(self._contract_of(group_id, number))
        return None if found is None else FlexibleGroup(group_id, found)

    def with_members(self, keys: Sequence[bytes]) -> list[FlexibleGroup]:
        """Every group that has all of `keys` among its members."""
        with self._around.database.read() as snapshot:
            ids = list(StoredPrivate(snapshot).groups())
        found = [group for group in map(self._find_in_time, ids) if group is not None]
        return [group for group in found if set(keys) <= set(group.members)]

    def _find_in_time(self, group_id: bytes) -> FlexibleGroup | None:
        """None for a group whose contract does not answer in time too: its members may have made it so, and others' groups
        are asked for."""
        try:
            return self.find(group_id)
        except CallExpired:
            return None

    def recipients(self, private: PrivateTransaction) -> FlexibleGroup:
        """The group that `private` is for, with whom it adds; NoGroupId or NoSuchGroup."""
        if private.group_id is None:
            raise NoGroupId
        group = self.find(private.group_id)
        joining = added_members(private)
        if group is None and not joining:
            raise NoSuchGroup
        present = () if group is None else group.members
        return FlexibleGroup(private.group_id, tuple(dict.fromkeys((*present, *joining))))

    def distribute(self, private: PrivateTransaction, group: FlexibleGroup) -> bytes:
        """Have the manager send `private` to the group and, where members are added to one with a past, that past to them;
        the keys of both, as the marker has them. ManagerError or ManagerUnreachable."""
        manager, sender = self._around.manager, private.private_from
        past = self._past(group.id) if is_addition(private) else []
        payload = to_versioned_payload(private, version(self._contract_of(group.id, None)))
        key = manager.send(payload, sender, group.members)
        if not past:
            return key
        return key + manager.send(to_history_payload(past), sender, added_members(private))

    # -- the past ----------------------------------------------------------------------------------------------------

    def _past(self, group_id: bytes) -> list[PastTransaction]:
        """Everything that was carried out in the group. ManagerFails where the manager has lost some of it."""
        return [self._past_transaction(root) for root in self._roots(group_id)]

    def _roots(self, group_id: bytes) -> Iterator[MarkerRoot]:
        with self._around.database.read() as snapshot:
            stored = StoredPrivate(snapshot)
            numbers = reversed(list(stored.changes_from(group_id, 0)))
            roots = [stored.metadata(self._around.history.hash_at(number) or b"", group_id) for number in numbers]
        return (root for block in roots for root in block)

    def _past_transaction(self, root: MarkerRoot) -> PastTransaction:
        place = self._around.history.transaction_place(root.marker_hash)
        block = None if place is None else self._around.history.block_of(place.block_hash)
        if place is None or block is None:
            raise ManagerFails("the block of a private transaction is not there")
        try:
            private = receive(self._around.manager, payload_key_of(block.transactions[place.index])).private
        except NoPayload:
            told = self._histories.told(root.marker_hash)
            if told is None:
                raise ManagerFails("a payload of the group's past is lost") from None
            private = told[1]
        return PastTransaction(private, root.marker_hash, root.root)
