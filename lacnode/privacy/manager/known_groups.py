"""What a manager knows of groups when it judges whose a payload is: the records that it keeps, and the members of a LEGACY
group whose id it can compute. Must not take an id for a group whose members do not give it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice

from lacnode.privacy.manager.encrypted_payload import EncryptedPayload
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.payload_ownership import NO_MEMBER, is_legacy_group_of, read_parties, refusal
from lacnode.privacy.transaction_manager import GroupType

MAX_WIDENING_KEYS = 1024
"""Known keys of which each is tried as the one that a sender's `alwayssendto` adds."""

MAX_WIDENING_WORK = 16_384
"""Keys that ids are computed from in one search: the more a sender names, the fewer known keys are tried. Strangers choose
both the keys that are named and those that are known."""


class KnownGroups:
    """A GroupKnowledge. `record_of` gives a kept record, deleted ones too; `keep_record` keeps a new one; `always` are this
    manager's `alwayssendto`; `known_keys` gives the public keys that are known, the own ones first."""

    def __init__(
        self,
        record_of: Callable[[bytes], GroupRecord | None],
        keep_record: Callable[[GroupRecord], None],
        always: Sequence[bytes],
        known_keys: Callable[[], Iterable[bytes]],
    ) -> None:
        self._record_of = record_of
        self._keep_record = keep_record
        self._always = tuple(always)
        self._known_keys = known_keys

    def refusal(self, payload: EncryptedPayload, plaintext: bytes) -> str | None:
        """Why `payload`, in which an own key found `plaintext`, does not belong to its group; None if it does, and then the
        record of a widened group is kept."""
        parties = read_parties(plaintext)
        if parties is None:
            return self._refusal_of_sender(payload)
        why = refusal(parties, payload.sender, payload.group_id, self)
        if why is None and parties.is_flexible:
            return self._refusal_of_sender(payload)
        if why is None and parties.group_id is None:
            self._keep_widened(parties.named, payload.group_id)
        return why

    def _refusal_of_sender(self, payload: EncryptedPayload) -> str | None:
        """For what no node executes by this group's id: clients may send anything, and what is for a flexible group names
        its group inside."""
        record = self._record_of(payload.group_id)
        if record is None or record.has_recipients_id:
            return None
        return None if payload.sender in record.members else NO_MEMBER

    def _keep_widened(self, named: Sequence[bytes], group_id: bytes) -> None:
        """A node asks for the group's members later, and the keys that its id was computed from may not be known then."""
        if is_legacy_group_of(named, group_id) or self._record_of(group_id) is not None:
            return
        members = self.widened_members(named, group_id)
        if members is not None:
            self._keep_record(GroupRecord.legacy(tuple(members)))

    def named_members(self, group_id: bytes) -> Collection[bytes] | None:
        """See GroupKnowledge."""
        record = self._record_of(group_id)
        if record is None:
            return None
        return record.members if record.type is GroupType.PANTHEON else ()

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Sequence[bytes] | None:
        """See GroupKnowledge. The sender's `alwayssendto` is not told; found are a group that was sent to from here, one
        that is widened as here, and one that is widened by a single key that is known."""
        record = self._record_of(group_id)
        if record is not None and record.type is GroupType.LEGACY and set(named) <= set(record.members):
            return record.members
        found = (members for members in self._widened(named) if is_legacy_group_of(members, group_id))
        return next(found, None)

    def _widened(self, named: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
        if self._always:
            yield (*named, *self._always)
        tries = min(MAX_WIDENING_KEYS, MAX_WIDENING_WORK // (len(named) + 1))
        for key in islice(self._known_keys(), tries):
            if key not in named:
                yield (*named, key)
