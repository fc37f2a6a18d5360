"""A group as managers keep it and tell each other: Orion's CBOR record.

The id is never in the record: whoever reads it computes it, so a record cannot claim another group's.
"""

from dataclasses import dataclass

from lacnode.privacy.group_ids import group_id
from lacnode.privacy.keys import KEY_BYTES, from_base64, to_base64
from lacnode.privacy.manager.cbor_records import CborError, decode_map, encode_map
from lacnode.privacy.transaction_manager import GroupType, PrivacyGroup

LEGACY_NAME = "legacy"
LEGACY_DESCRIPTION = "Privacy groups to support the creation of groups by privateFor and privateFrom"
MAX_GROUP_MEMBERS, MAX_TEXT_CHARACTERS, MAX_SEED_BYTES = 4096, 65_536, 1024


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """One group; `active` is false once it is deleted, and the record stays. A legacy group has no seed."""

    members: tuple[bytes, ...]
    name: str
    description: str
    active: bool
    type: GroupType
    seed: bytes | None

    @classmethod
    def legacy(cls, members: tuple[bytes, ...]) -> "GroupRecord":
        """The group of the sender and the recipients of one payload."""
        return cls(members, LEGACY_NAME, LEGACY_DESCRIPTION, True, GroupType.LEGACY, None)

    @property
    def id(self) -> bytes:
        """32 bytes."""
        return group_id(self.members, self.seed)

    @property
    def has_recipients_id(self) -> bool:
        """Whether a seed that could be a key makes the id that of the LEGACY group of the members and that key."""
        seed = self.seed
        return seed is not None and len(seed) == KEY_BYTES and self.id == group_id((*self.members, seed))

    @property
    def group(self) -> PrivacyGroup:
        """As its members know it."""
        return PrivacyGroup(self.id, self.name, self.description, self.type, self.members)


def encode_group(record: GroupRecord) -> bytes:
    """Orion's CBOR."""
    fields: dict[str, object] = {
        "addresses": [to_base64(member) for member in record.members],
        "name": record.name,
        "description": record.description,
        "state": "ACTIVE" if record.active else "DELETED",
        "type": record.type.value,
    }
    if record.seed is not None:
        fields["randomSeed"] = record.seed
    return encode_map(fields)


def decode_group(data: bytes) -> GroupRecord:
    """The record that `data` is; CborError."""
    fields = decode_map(data, "group")
    members = fields.take("addresses", list)
    if not 1 <= len(members) <= MAX_GROUP_MEMBERS:
        raise CborError(f"group.addresses: from 1 to {MAX_GROUP_MEMBERS} were expected, found {len(members)}")
    try:
        keys = tuple(from_base64(member, KEY_BYTES) for member in members)
    except ValueError as error:
        raise CborError(f"group.addresses: {error}") from None
    name, description = fields.take("name", str, True) or "", fields.take("description", str, True) or ""
    if max(len(name), len(description)) > MAX_TEXT_CHARACTERS:
        raise CborError(f"group: a name and description of at most {MAX_TEXT_CHARACTERS} characters were expected")
    state, kind = fields.take("state", str), fields.take("type", str)
    if state not in ("ACTIVE", "DELETED") or kind not in ("LEGACY", "PANTHEON"):
        raise CborError("group: a state ACTIVE or DELETED and a type LEGACY or PANTHEON were expected")
    seed = fields.take("randomSeed", bytes, kind == "LEGACY")
    if seed is not None and (kind == "LEGACY" or len(seed) > MAX_SEED_BYTES):
        raise CborError(f"group.randomSeed: at most {MAX_SEED_BYTES} bytes, and none for LEGACY, were expected")
    fields.end()
    return GroupRecord(keys, name, description, state == "ACTIVE", GroupType(kind), seed)
