"""Who is in a group, as far as this node knows: by its manager, by the contract of a flexible group, or, where a group is no
more than the recipients of a payload, by that payload. Must not believe a payload that does not make the group's id.
"""

from collections.abc import Callable
from itertools import islice

from lacnode.evm.engine import CallExpired
from lacnode.evm.merkle_trie import MissingNode
from lacnode.privacy.state.flexible.groups import FlexibleGroup
from lacnode.privacy.state.marker import payload_key_of
from lacnode.privacy.state.payloads import ManagerFails, NoPayload, UselessPayload, receive
from lacnode.privacy.state.private_transaction import PrivateTransaction, legacy_group_id
from lacnode.privacy.state.store import Place, StoredPrivate
from lacnode.privacy.state.surroundings import Surroundings
from lacnode.privacy.transaction_manager import ManagerError

PAYLOADS = 4
"""Payloads of a group that are looked at for its members: others may have put some in front."""

MAX_REMEMBERED = 4096
"""Groups of recipients, whose members never change."""


Find = Callable[[bytes, int], FlexibleGroup | None]


class Membership:
    """`flexible` finds a flexible group as of a block, None where there are no such groups. Safe from several threads."""

    def __init__(self, around: Surroundings, flexible: Find | None = None) -> None:
        self._around = around
        self._flexible = flexible
        self._recipients: dict[bytes, frozenset[bytes]] = {}

    def of(self, group_id: bytes, number: int) -> frozenset[bytes] | None:
        """The public keys of the group's members as of block `number`: none if the group was deleted, None if they cannot
        be known here now. ManagerUnreachable."""
        if self._flexible is not None:
            return self._of_flexible(self._flexible, group_id, number)
        try:
            return frozenset(self._around.manager.retrieve_group(group_id).members)
        except ManagerError:
            return self._of_payloads(group_id)

    def _of_flexible(self, find: Find, group_id: bytes, number: int) -> frozenset[bytes] | None:
        try:
            group = find(group_id, number)
        except (CallExpired, MissingNode):
            return None
        return frozenset() if group is None else frozenset(group.members)

    def _of_payloads(self, group_id: bytes) -> frozenset[bytes] | None:
        if group_id in self._recipients:
            return self._recipients[group_id]
        with self._around.database.read() as snapshot:
            places = list(islice(StoredPrivate(snapshot).markers(group_id), PAYLOADS))
        found = [private for place in places if (private := self._private(place)) is not None]
        for private in found:
            if private.private_for is None:
                continue
            if legacy_group_id(private.private_from, private.private_for) == group_id:
                if len(self._recipients) >= MAX_REMEMBERED:
                    self._recipients.clear()
                self._recipients[group_id] = frozenset((private.private_from, *private.private_for))
                return self._recipients[group_id]
        return frozenset() if any(private.group_id == group_id for private in found) else None

    def _private(self, place: Place) -> PrivateTransaction | None:
        block = self._around.history.block_at(place.number)
        if block is None:
            return None
        try:
            return receive(self._around.manager, payload_key_of(block.transactions[place.index])).private
        except (NoPayload, UselessPayload, ManagerFails):
            return None
