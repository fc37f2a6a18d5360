"""The groups of a manager: those that its clients create and delete, and those that other managers announce.

A record of another manager is believed only as far as a member has proven it. This module must not handle a payload.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from lacnode.privacy.keys import KeyRing, to_base64
from lacnode.privacy.manager.audit_log import audit_entry
from lacnode.privacy.manager.delivery import PayloadDelivery, keys_for_error_text
from lacnode.privacy.manager.group_acceptance import GroupRefusedError, accept_group_record, accept_recovered_group
from lacnode.privacy.manager.group_record import GroupRecord, decode_orion_group
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.proven_group import decode_proven_group
from lacnode.privacy.manager.quota import QuotaExceededError
from lacnode.privacy.manager.store_calls import call_store, decode_or_refuse
from lacnode.privacy.transaction_manager import EnclaveError, GroupType, PrivacyGroup
from lacnode.rate_limited_log import RateLimitedLog

SEED_BYTES = 20
MAX_REMEMBERED_LEGACY_GROUPS = 4096
"""The largest number of groups of recipients whose record is remembered to be stored."""


class ManagedGroups:
    """The groups in the store of a manager, as its clients and other managers change them. EnclaveUnreachableError from
    every method if the store fails."""

    def __init__(self, keys: KeyRing, store: PayloadStore, delivery: PayloadDelivery) -> None:
        self._keys = keys
        self._store = store
        self._delivery = delivery
        self._stored_legacy: set[bytes] = set()
        self._log = RateLimitedLog("privacy", time.monotonic)

    # -- the client's side -------------------------------------------------------------------------------------------

    def create(
        self,
        members: Sequence[bytes],
        sender: bytes | None,
        name: str = "",
        description: str = "",
        seed: bytes | None = None,
    ) -> PrivacyGroup:
        """Create a PANTHEON group of the public keys `members` (32 bytes each) for a client, announce it to the
        managers of all members, and store it. `sender` is an own key, None for the first one. The seed is random if
        `seed` is None.

        EnclaveError if the sender is no member, the seed gives the id of another group, a member's manager is unknown
        or does not prove its key, a member's Tessera would give the group another id, a manager does not confirm, or a
        member deletes the group before all have confirmed. In each case the group is not created here. In the last two
        cases others may have it.
        """
        own = self._keys.sender_pair(sender).public
        if own not in members:
            raise EnclaveError("CreatePrivacyGroupShouldIncludeSelf")
        # The random seed makes the id of the group unpredictable. Two groups of the same members then differ.
        distinct = tuple(dict.fromkeys(members))
        seed = secrets.token_bytes(SEED_BYTES) if seed is None else seed
        record = GroupRecord(distinct, name, description, True, GroupType.PANTHEON, seed)
        self._check_new(record)
        # The members' managers are told first. A group that one manager does not know must not exist here: its
        # payloads would be refused there.
        unproven = self._announce_group(record, own)
        entry = audit_entry("group-created", bytes(32), own, distinct, record.id, unproven=unproven)
        # The announcement takes seconds, and a member may delete the group meanwhile. So the decision is made again, inside
        # the transaction: a deletion is final.
        call_store(self._store.groups.update, record.id, lambda known: _record_to_create(record, known), entry)
        return record.group

    def _check_new(self, record: GroupRecord) -> None:
        """Check that a record which the client's seed gives is new. Such a seed may give the id of an existing group."""
        if record.seed_imitates_legacy_id:
            raise EnclaveError("EnclavePrivacyGroupIdCreation", "the seed gives the id of a group of recipients")
        _record_to_create(record, call_store(self._store.groups.find, record.id))

    def delete(self, group_id: bytes, sender: bytes | None) -> bytes:
        """Announce the deletion of the group `group_id` to the managers of all members, delete it here, and return its
        id (32 bytes). Its record stays, as a deleted one. `sender` is an own key, None for the first one.

        EnclaveError `PrivacyGroupNotDeleted` if the group is unknown, deleted or LEGACY, or the sender is no member.
        `NodeMissingPeerUrl` if a member's manager is unknown or does not prove its key, `PrivacyGroupNotPushed` if a
        manager does not confirm: the group then stays here.
        """
        own = self._keys.sender_pair(sender).public
        record = call_store(self._store.groups.find, group_id)
        if record is None or not record.active or own not in record.members:
            raise EnclaveError("PrivacyGroupNotDeleted")
        if record.type is GroupType.LEGACY:
            raise EnclaveError("PrivacyGroupNotDeleted", "it is a group of recipients, which is there without a record")
        # The record stays with `active` False. Without it, an old record of another manager would bring the group back.
        gone = replace(record, active=False)
        unproven = self._announce_group(gone, own)
        entry = audit_entry("group-deleted", bytes(32), own, record.members, group_id, unproven=unproven)
        call_store(self._store.groups.put, gone, entry)
        return group_id

    def _announce_group(self, record: GroupRecord, own: bytes) -> Sequence[bytes]:
        """Send a group record to the managers of the other members. Return the members without a proof."""
        places = self._delivery.find_urls(record.members)
        self._delivery.require_same_id_at_tesseras(record, places.urls.values())
        reached = self._delivery.announce_group(record, self._keys.sender_pair(own), places.reachable_urls)
        left_out = places.members_not_at(reached)
        if left_out:
            raise EnclaveError("PrivacyGroupNotPushed", f"not told to {keys_for_error_text(left_out)}")
        return places.unproven

    def find(self, members: Sequence[bytes]) -> Sequence[PrivacyGroup]:
        """Return the active groups that have exactly these members (public keys of 32 bytes), in any order, the oldest
        group first. Empty if there are none."""
        return [record.group for record in call_store(self._store.groups.find_by_members, members)]

    def retrieve(self, group_id: bytes) -> PrivacyGroup:
        """Return the group `group_id` (32 bytes). EnclaveError `PrivacyGroupNotFound` if it is unknown or deleted."""
        return self.require_active_record(group_id).group

    def require_active_record(self, group_id: bytes) -> GroupRecord:
        """Return the record of the group `group_id` (32 bytes). EnclaveError `PrivacyGroupNotFound` if it is unknown or
        deleted."""
        record = call_store(self._store.groups.find, group_id)
        if record is None or not record.active:
            raise EnclaveError("PrivacyGroupNotFound")
        return record

    def store_legacy_record(self, record: GroupRecord) -> None:
        """Store `record`, the record of a LEGACY group, if no LEGACY record is stored for its id yet. Nothing is
        announced."""
        # Each payload of the group comes here. Such a record is never deleted or changed, so one write is enough.
        if record.id in self._stored_legacy:
            return
        call_store(self._store.groups.update, record.id, lambda known: _legacy_record_to_store(record, known))
        # Emptied as a whole. Each id can be found stored again by one more write.
        if len(self._stored_legacy) >= MAX_REMEMBERED_LEGACY_GROUPS:
            self._stored_legacy.clear()
        self._stored_legacy.add(record.id)

    # -- the peers' side: all arguments come from other managers, and are believed only as far as they are proven ------

    def receive_announcement(self, body: bytes) -> str:
        """Store the group in `body` (Orion's CBOR), an announcement of another manager without a proof. Return its id
        in base64. EnclaveError `ObjectJsonDeserialization` if it is malformed, `PrivacyGroupNotStored` as for
        `accept_announced_record`. A record that is known already is no error."""
        record = decode_or_refuse(decode_orion_group, body)
        self.accept_announced_record(record)
        return to_base64(record.id)

    def receive_announcement_with_proof(self, body: bytes) -> str:
        """Store the group in `body` (CBOR), an announcement of a member that proves its key. Return the id of the group
        in base64.

        EnclaveError `ObjectJsonDeserialization` if it is malformed, `EnclaveNoMatchingPrivateKey` or
        `EnclaveNotPayloadOwner` if the proof does not hold, `PrivacyGroupNotStored` if the record is refused, the quota
        is reached, or no own key is a member. A record that is known already is no error.
        """
        told = decode_or_refuse(lambda body: decode_proven_group(body, self._keys), body)
        self.accept_announced_record(told.record, told.proven_teller)
        return to_base64(told.record.id)

    def accept_announced_record(self, record: GroupRecord, proven_teller: bytes | None = None) -> None:
        """Store what is new in a group record that another manager announces. `group_acceptance` has the rules.

        `proven_teller` is the key (32 bytes) that the other manager has proven, None without a proof. It must not be a
        key that the message only names, because no other proof is required then. EnclaveError `PrivacyGroupNotStored`
        if the record is refused, the quota is reached, no own key is a member, or there is no proof although the
        manager of every member could give one.
        """
        # This comes first: other managers may be asked below, and any machine can announce a group.
        self._require_own_member(record)
        # Orion and Tessera prove no key. Their announcements are accepted only if a member can be at such a manager.
        if proven_teller is None and not self._delivery.may_be_announced_unproven(record.members):
            raise EnclaveError("PrivacyGroupNotStored", "the sender proves no key, and every member's manager could")
        self._update_group(
            record,
            lambda known: accept_group_record(record, known, proven_teller),
            is_pushed=True,
            proven_teller=proven_teller or b"",
        )

    def store_recovered(self, record: GroupRecord, proven_teller: bytes) -> None:
        """Store what is new in a group record that `proven_teller` gives back: a key (32 bytes) that the other manager
        has proven. The quota does not count. EnclaveError `PrivacyGroupNotStored` if the record is refused or no own
        key is a member."""
        self._require_own_member(record)
        self._update_group(record, lambda known: accept_recovered_group(record, known, proven_teller), is_pushed=False)

    def _require_own_member(self, record: GroupRecord) -> None:
        if all(self._keys.find_pair(member) is None for member in record.members):
            raise EnclaveError("PrivacyGroupNotStored", "no own key is a member")

    def _update_group(
        self,
        record: GroupRecord,
        decide_record: Callable[[GroupRecord | None], GroupRecord | None],
        *,
        is_pushed: bool,
        proven_teller: bytes = b"",
    ) -> None:
        try:
            # The decision is made inside the transaction of the store. Two announcements at the same time cannot both
            # decide by the old record.
            call_store(
                self._store.groups.update, record.id, decide_record, is_pushed=is_pushed, proven_teller=proven_teller
            )
        except (GroupRefusedError, QuotaExceededError) as refused:
            self._log.warning(str(refused), f"a group is refused: {refused}", group=to_base64(record.id))
            raise EnclaveError("PrivacyGroupNotStored", str(refused)) from None


def _record_to_create(new: GroupRecord, known: GroupRecord | None) -> GroupRecord:
    """Return what is stored for a group that a client creates. EnclaveError if its id has another or a deleted record."""
    if known not in (None, new):
        raise EnclaveError("PrivacyGroupNotStored", "the members have a group by this seed, or had it")
    return new


def _legacy_record_to_store(new: GroupRecord, known: GroupRecord | None) -> GroupRecord | None:
    """What is kept of a group of recipients: a record of another kind under its id was accepted by an earlier version."""
    return new if known is None or known.type is not GroupType.LEGACY else None
