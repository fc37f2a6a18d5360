"""A group as Tessera tells its members of it. Follows Tessera's PrivacyGroupUtil.

The id is never in the record, and Tessera computes another one than Orion where the members take more than 255 bytes of
RLP: more than seven. Such a group cannot be shared between the two, since each side would name it differently.
"""

from collections.abc import Sequence

from lacnode.privacy.group_ids import group_id, tessera_group_id
from lacnode.privacy.keys import KEY_SIZE
from lacnode.privacy.manager.group_record import MAX_MEMBERS, MAX_SEED, MAX_TEXT, GroupRecord
from lacnode.privacy.manager.tessera.binary import Fields, TesseraError, array, field
from lacnode.privacy.transaction_manager import GroupType


def is_shareable(members: Sequence[bytes], seed: bytes | None = None) -> bool:
    """Whether Tessera gives the group of `members` and `seed` the id that we give it."""
    return group_id(members, seed) == tessera_group_id(members, seed)


def encode_group(record: GroupRecord) -> bytes:
    """Tessera's form."""
    parts = [
        field(record.name.encode()),
        field(record.description.encode()),
        array(record.members),
        field(record.seed or b""),
        field(record.type.value.encode()),
        field(b"ACTIVE" if record.active else b"DELETED"),
    ]
    return b"".join(parts)


def decode_group(data: bytes) -> GroupRecord:
    """The record that `data` is; TesseraError, for a group that cannot be shared too."""
    fields = Fields(data, "group")
    name, description = fields.text("name"), fields.text("description")
    members = tuple(fields.items("members", MAX_MEMBERS, lambda: fields.data("members", KEY_SIZE)))
    seed, kind, state = fields.data("seed"), fields.text("type"), fields.text("state")
    fields.end()
    if max(len(name), len(description)) > MAX_TEXT or len(seed) > MAX_SEED:
        raise TesseraError(f"group: texts of at most {MAX_TEXT} characters and {MAX_SEED} bytes of seed were expected")
    if state not in ("ACTIVE", "DELETED") or kind not in ("LEGACY", "PANTHEON") or not members:
        raise TesseraError("group: members, a state ACTIVE or DELETED and a type LEGACY or PANTHEON were expected")
    legacy = kind == "LEGACY"
    record = GroupRecord(members, name, description, state == "ACTIVE", GroupType(kind), None if legacy else seed)
    if not is_shareable(members, record.seed):
        raise TesseraError("group.members: fewer were expected: Tessera gives so large a group another id than Orion")
    return record
