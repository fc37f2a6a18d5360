"""The groups that a manager knows when it decides to which group a payload belongs.

These are the stored records, and LEGACY groups whose id can be computed. This module must not accept an id as a group's if
the members do not give this id.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice

from lacnode.privacy.manager.encrypted_payload import EncryptedPayload
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.payload_ownership import NO_MEMBER, PayloadParties, find_ownership_refusal, is_legacy_group_of
from lacnode.privacy.transaction_manager import GroupType

MAX_WIDENING_KEYS = 1024
"""The largest number of known keys that are tried as the one key of a sender's `alwayssendto`."""

MAX_WIDENING_WORK = 16_384
"""The largest number of keys that ids are computed from in one search.

If a sender names more keys, fewer known keys are tried. Other managers choose both the named keys and the known keys, so
the work needs a bound."""


class KnownGroups:
    """The groups that one manager knows, for the rule about payloads: a `GroupKnowledge`.

    `record_of` returns a stored record by the group's id, also of a deleted group, None if there is none. `keep_record`
    stores a new record. `always` are the keys of this manager's `alwayssendto`. `known_keys` returns the known public
    keys, the own keys first.
    """

    def __init__(
        self,
        record_of: Callable[[bytes], GroupRecord | None],
        keep_record: Callable[[GroupRecord], None],
        always: Sequence[bytes],
        known_keys: Callable[[], Iterable[bytes]],
    ) -> None:
        self._find_record = record_of
        self._store_record = keep_record
        self._always = tuple(always)
        self._known_keys = known_keys

    def find_refusal(self, payload: EncryptedPayload, parties: PayloadParties | None) -> str | None:
        """Return why `payload` does not belong to its group, as a text without its content. None if it does.

        `parties` are the keys that the private transaction in the payload names, None if it has no private transaction.
        The rule is `find_ownership_refusal`, with two additions. Without a private transaction, and for a flexible
        group, the sender must be a member if the group of the payload is known here (unless its seed imitates a LEGACY
        id, `GroupRecord.seed_imitates_legacy_id`). The errors of `record_of` pass through.
        """
        if parties is None:
            return self._find_refusal_of_sender(payload)
        # The payload may name its members inside. Then the group id must follow from these members. A sender could
        # otherwise put a payload into a group that the recipients use for something else.
        why = find_ownership_refusal(parties, payload.sender, payload.group_id, self)
        if why is None and parties.is_flexible:
            return self._find_refusal_of_sender(payload)
        return why

    def store_record_if_widened(self, payload: EncryptedPayload, parties: PayloadParties | None) -> None:
        """Store the record of the LEGACY group of `payload` if `alwayssendto` has widened it: the group has the keys
        that the payload names and more. `payload` was accepted before. No effect for any other group, if a record is
        stored, or if `widened_members` does not find the members. `parties` are as in `find_refusal`. The errors of
        `record_of` and `keep_record` pass through.

        The node asks for the members later. The keys that the id was computed from may not be known then.
        """
        if parties is None or parties.is_flexible or parties.group_id is not None:
            return
        named, group_id = parties.named_keys, payload.group_id
        if is_legacy_group_of(named, group_id) or self._find_record(group_id) is not None:
            return
        members = self.widened_members(named, group_id)
        if members is not None:
            self._store_record(GroupRecord.legacy(tuple(members)))

    def is_named_recipient(self, payload: EncryptedPayload, parties: PayloadParties | None, key: bytes) -> bool:
        """Return True if the public key `key` (32 bytes) is named as a recipient of `payload`. `parties` are what the
        private transaction in the payload names.

        The key is named if `parties` has it, if it is a member of the payload's PANTHEON group and `parties` names this
        group, or if it is among the keys by which `alwayssendto` has widened the LEGACY group (`widened_members`).
        False for a flexible group, whose members only its contract knows. Without a private transaction (`parties` is
        None) every member of the payload's group is named, and every key if the group is unknown. The errors of
        `record_of` pass through.
        """
        if parties is None:
            # No node executes it. Its group says who received it.
            record = self._find_record(payload.group_id)
            return record is None or key in record.members
        if parties.is_flexible:
            return False
        if parties.group_id is not None:
            is_same = parties.group_id == payload.group_id
            return is_same and key in (self.pantheon_members(payload.group_id) or ())
        return key in parties.named_keys or key in (self.widened_members(parties.named_keys, payload.group_id) or ())

    def _find_refusal_of_sender(self, payload: EncryptedPayload) -> str | None:
        """Decide about a payload that the node does not execute under this group id.

        A client may store any bytes. A payload of a flexible group names its group inside.
        """
        record = self._find_record(payload.group_id)
        if record is None or record.seed_imitates_legacy_id:
            return None
        return None if payload.sender in record.members else NO_MEMBER

    def pantheon_members(self, group_id: bytes) -> Collection[bytes] | None:
        """Return the members (public keys) of the PANTHEON group `group_id` (32 bytes), also of a deleted one. None if
        the group is unknown, empty if it has another type."""
        record = self._find_record(group_id)
        if record is None:
            return None
        # A LEGACY group has no members that a payload may rely on by its id alone. The payload has to name them.
        return record.members if record.type is GroupType.PANTHEON else ()

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Sequence[bytes] | None:
        """Return the members of the LEGACY group `group_id` (32 bytes) if they are the public keys `named` and more, as
        the `alwayssendto` of a sender makes them. None if they are not found.

        A sender does not reveal its `alwayssendto`. So three cases are found: a group whose record is stored, a group
        with the `alwayssendto` of this manager, and a group with one further known key. The work is bounded.
        """
        record = self._find_record(group_id)
        # The stored record comes first. It costs no computation, and it also covers groups with several extra keys.
        if record is not None and record.type is GroupType.LEGACY and set(named) <= set(record.members):
            return record.members
        found = (members for members in self._widened_candidates(named) if is_legacy_group_of(members, group_id))
        return next(found, None)

    def _widened_candidates(self, named: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
        if self._always:
            yield (*named, *self._always)
        # Each try computes an id from all named keys. So the number of tries falls with their number.
        tries = min(MAX_WIDENING_KEYS, MAX_WIDENING_WORK // (len(named) + 1))
        for key in islice(self._known_keys(), tries):
            if key not in named:
                yield (*named, key)
