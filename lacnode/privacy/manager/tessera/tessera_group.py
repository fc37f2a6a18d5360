"""A group as Tessera announces it to its members. Follows Tessera's `PrivacyGroupUtil`.

The record never has the id of the group. Tessera computes another id than Orion if the members take more than 255 bytes of
RLP, which is more than seven members. Such a group cannot be shared between the two: each would use another id.
"""

from collections.abc import Sequence

from lacnode.privacy.group_ids import group_id, tessera_group_id
from lacnode.privacy.keys import KEY_BYTES
from lacnode.privacy.manager.group_record import MAX_GROUP_MEMBERS, MAX_SEED_BYTES, MAX_TEXT_CHARACTERS, GroupRecord
from lacnode.privacy.manager.tessera.tessera_encoding import (
    BinaryFields,
    TesseraError,
    encode_array_field,
    encode_field,
)
from lacnode.privacy.transaction_manager import GroupType


def has_same_id_at_tessera(members: Sequence[bytes], seed: bytes | None = None) -> bool:
    """Return True if Tessera computes the same id as Orion and lacnode for the group of `members` (public keys of 32
    bytes) and `seed` (None for a LEGACY group)."""
    return group_id(members, seed) == tessera_group_id(members, seed)


def encode_tessera_group(record: GroupRecord) -> bytes:
    """Encode a record in Tessera's form. It does not have the id of the group."""
    parts = [
        encode_field(record.name.encode()),
        encode_field(record.description.encode()),
        encode_array_field(record.members),
        encode_field(record.seed or b""),
        encode_field(record.type.value.encode()),
        encode_field(b"ACTIVE" if record.active else b"DELETED"),
    ]
    return b"".join(parts)


def decode_tessera_group(data: bytes) -> GroupRecord:
    """Decode a record in Tessera's form. TesseraError if it is malformed, above a bound, or if Tessera and lacnode give
    the group different ids."""
    fields = BinaryFields(data, "group")
    name, description = fields.next_text("name"), fields.next_text("description")
    members = tuple(fields.next_items("members", MAX_GROUP_MEMBERS, lambda: fields.next_bytes("members", KEY_BYTES)))
    seed, kind, state = fields.next_bytes("seed"), fields.next_text("type"), fields.next_text("state")
    fields.check_no_bytes_left()
    if max(len(name), len(description)) > MAX_TEXT_CHARACTERS or len(seed) > MAX_SEED_BYTES:
        raise TesseraError(
            f"group: texts of at most {MAX_TEXT_CHARACTERS} characters and {MAX_SEED_BYTES} bytes of seed were expected"
        )
    if state not in ("ACTIVE", "DELETED") or kind not in ("LEGACY", "PANTHEON") or not members:
        raise TesseraError("group: members, a state ACTIVE or DELETED and a type LEGACY or PANTHEON were expected")
    # Tessera always has a seed field. In a LEGACY record it is empty, and lacnode has no seed there.
    legacy = kind == "LEGACY"
    record = GroupRecord(members, name, description, state == "ACTIVE", GroupType(kind), None if legacy else seed)
    # The refusal comes now, at the announcement. Otherwise each payload of the group would be refused later, without a
    # reason that its sender sees.
    if not has_same_id_at_tessera(members, record.seed):
        raise TesseraError("group.members: fewer were expected: Tessera gives so large a group another id than Orion")
    return record
