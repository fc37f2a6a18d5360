"""A group as Tessera tells its members of it. Follows Tessera's PrivacyGroupUtil.

The id is never in the record, and Tessera computes another one than Orion where the members take more than 255 bytes of
RLP: more than seven. Such a group cannot be shared between the two, since each side would name it differently.
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


def has_tessera_id(members: Sequence[bytes], seed: bytes | None = None) -> bool:
    """Whether Tessera gives the group of `members` and `seed` the id that we give it."""
    return group_id(members, seed) == tessera_group_id(members, seed)


def encode_group(record: GroupRecord) -> bytes:
    """Tessera's form."""
    parts = [
        encode_field(record.name.encode()),
        encode_field(record.description.encode()),
        encode_array_field(record.members),
        encode_field(record.seed or b""),
        encode_field(record.type.value.encode()),
        encode_field(b"ACTIVE" if record.active else b"DELETED"),
    ]
    return b"".join(parts)


def decode_group(data: bytes) -> GroupRecord:
    """The record that `data` is; TesseraError, for a group that cannot be shared too."""
    fields = BinaryFields(data, "group")
    name, description = fields.text("name"), fields.text("description")
    members = tuple(fields.items("members", MAX_GROUP_MEMBERS, lambda: fields.data("members", KEY_BYTES)))
    seed, kind, state = fields.data("seed"), fields.text("type"), fields.text("state")
    fields.end()
    if max(len(name), len(description)) > MAX_TEXT_CHARACTERS or len(seed) > MAX_SEED_BYTES:
        raise TesseraError(
            f"group: texts of at most {MAX_TEXT_CHARACTERS} characters and {MAX_SEED_BYTES} bytes of seed were expected"
        )
    if state not in ("ACTIVE", "DELETED") or kind not in ("LEGACY", "PANTHEON") or not members:
        raise TesseraError("group: members, a state ACTIVE or DELETED and a type LEGACY or PANTHEON were expected")
    legacy = kind == "LEGACY"
    record = GroupRecord(members, name, description, state == "ACTIVE", GroupType(kind), None if legacy else seed)
    if not has_tessera_id(members, record.seed):
        raise TesseraError("group.members: fewer were expected: Tessera gives so large a group another id than Orion")
    return record
