"""The members of a group, as far as this node knows them.

They come from the manager, from the contract of a flexible group, or, for a group of recipients, from a payload. This module
must not believe a payload whose keys do not give the group's id.
"""

import time
from itertools import islice

from lacnode.evm.engine import CallLimitExceededError
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.privacy.state.flexible.group_search import LEAST_ANSWER_SECONDS
from lacnode.privacy.state.flexible.silent_contracts import SilentContracts
from lacnode.privacy.state.group_directory import GroupDirectory
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import read_payload_key
from lacnode.privacy.state.private_payloads import (
    PayloadNotFoundError,
    PayloadUnavailableError,
    UnusablePayloadError,
    receive_payload,
)
from lacnode.privacy.state.private_store import MarkerPlace, PrivateStoreReader
from lacnode.privacy.state.private_transaction import PrivateTransaction, legacy_group_id
from lacnode.privacy.transaction_manager import EnclaveError

PAYLOADS_READ = 4
"""The number of payloads of a group that are read for its members. Other members may have put useless ones in front."""

MAX_REMEMBERED_MEMBERSHIPS = 4096
"""The largest number of groups of recipients that are kept. Their members never change."""


ALL_SILENCE_SECONDS = 1.0
"""The seconds that contracts may take without an answer before the next ones have `LEAST_ANSWER_SECONDS`."""


class GroupMembership:
    """Finds the members of groups: from the manager, the contract of a flexible group, or payloads. Safe to use from
    several threads."""

    def __init__(self, context: PrivacyContext, groups: GroupDirectory) -> None:
        self._context = context
        self._groups = groups
        self._recipients: dict[bytes, frozenset[bytes]] = {}
        self._silent = SilentContracts()

    def members_at(self, group_id: bytes, number: int, deadline_seconds: float) -> frozenset[bytes] | None:
        """Return the public keys of the members of the group `group_id` (32 bytes) as of block `number`. If the manager
        does not have the group (any more), the payloads of the first `PAYLOADS_READ` markers of the group are read. One
        whose sender and recipients give the group's id names the members. Empty if none does, and one names the group
        by its id. Empty also for a flexible group that does not exist yet, or if the call of its contract fails.

        None if these payloads name neither the members nor the group, if the state of that block is not kept, or if the
        contract of a flexible group does not answer by `deadline_seconds` on the monotonic clock, or did not answer
        lately. EnclaveUnreachableError if the manager does not answer.
        """
        try:
            return self._named_members_at(group_id, number, deadline_seconds)
        except MissingNodeError:
            # The contract runs on the state of the block. A node that has pruned it cannot know the members.
            return None
        except EnclaveError:
            return self._members_in_payloads(group_id)

    def _named_members_at(self, group_id: bytes, number: int, deadline_seconds: float) -> frozenset[bytes] | None:
        """Return the members that the manager or the contract names. None if the contract does not answer."""
        with self._context.database.read() as snapshot:
            root = PrivateStoreReader(snapshot).root_at(group_id, number)
        # A contract that did not answer at this state is not asked again soon, for any question about the group.
        if self._silent.was_silent(group_id, root):
            return None
        started = time.monotonic()
        # Each contract that does not answer gets half of the time that the ones before left. All together lose little.
        left_seconds = ALL_SILENCE_SECONDS - self._silent.recently_lost_seconds()
        own_deadline_seconds = started + max(LEAST_ANSWER_SECONDS, left_seconds / 2)
        try:
            until_seconds = min(deadline_seconds, own_deadline_seconds)
            return frozenset(self._groups.members_at(group_id, number, until_seconds) or ())
        except CallLimitExceededError:
            lost_seconds = time.monotonic() - started
            # A contract that had less time than others does not count as silent: a caller asks about many groups.
            if deadline_seconds < own_deadline_seconds:
                self._silent.count_lost_time(lost_seconds)
            else:
                self._silent.record_silence(group_id, root, lost_seconds)
            return None

    def _members_in_payloads(self, group_id: bytes) -> frozenset[bytes] | None:
        # A manager keeps no record of a group of recipients that it has only received from. Its payload names all members.
        if group_id in self._recipients:
            return self._recipients[group_id]
        with self._context.database.read() as snapshot:
            places = list(islice(PrivateStoreReader(snapshot).marker_places(group_id), PAYLOADS_READ))
        # The first markers of the group are enough: every payload of the group names the same members.
        found = [private for place in places if (private := self._private(place)) is not None]
        for private in found:
            if private.private_for is None:
                continue
            # The id proves the members: another set of keys gives another id.
            if legacy_group_id(private.private_from, private.private_for) == group_id:
                # Emptied as a whole. Each entry can be found again from the payloads.
                if len(self._recipients) >= MAX_REMEMBERED_MEMBERSHIPS:
                    self._recipients.clear()
                self._recipients[group_id] = frozenset((private.private_from, *private.private_for))
                return self._recipients[group_id]
        return frozenset() if any(private.group_id == group_id for private in found) else None

    def _private(self, place: MarkerPlace) -> PrivateTransaction | None:
        block = self._context.history.block_at(place.number)
        if block is None:
            return None
        try:
            return receive_payload(self._context.manager, read_payload_key(block.transactions[place.index])).private
        except (PayloadNotFoundError, UnusablePayloadError, PayloadUnavailableError):
            return None
