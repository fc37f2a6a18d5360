"""A group as managers store it and send it to each other: Orion's CBOR record.

The record never has the id of the group. The reader computes the id. So a record cannot claim the id of another group.
"""

from dataclasses import dataclass

from lacnode.privacy.group_ids import group_id
from lacnode.privacy.keys import KEY_BYTES, from_base64, to_base64
from lacnode.privacy.manager.cbor_records import CborError, decode_map, encode_map
from lacnode.privacy.transaction_manager import GroupType, PrivacyGroup

LEGACY_NAME = "legacy"
LEGACY_DESCRIPTION = "Privacy groups to support the creation of groups by privateFor and privateFrom"
MAX_GROUP_MEMBERS, MAX_TEXT_CHARACTERS, MAX_SEED_BYTES = 4096, 65_536, 1024

WIDE_TEXT_BYTES = 2 * 2 * MAX_TEXT_CHARACTERS
"""The memory of a name and a description beyond twice their bytes. Python stores each character of a text with 4 bytes if
one of them is above U+FFFF."""


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """One group. A deleted group keeps its record, with `active` False. A LEGACY group has no seed: it is None.

    `members` are public keys (32 bytes each). `name` and `description` may be empty.
    """

    members: tuple[bytes, ...]
    name: str
    description: str
    active: bool
    type: GroupType
    seed: bytes | None

    @classmethod
    def legacy(cls, members: tuple[bytes, ...]) -> "GroupRecord":
        """Return the active record of the LEGACY group of these members: the sender and the recipients of one payload."""
        return cls(members, LEGACY_NAME, LEGACY_DESCRIPTION, True, GroupType.LEGACY, None)

    @property
    def id(self) -> bytes:
        """The id of the group (32 bytes), as Orion computes it from the members and the seed."""
        return group_id(self.members, self.seed)

    @property
    def seed_imitates_legacy_id(self) -> bool:
        """Whether the seed is chosen so that this group has the id of a LEGACY group: that of the members with the seed
        as one more key."""
        # A LEGACY id is computed from the members alone, a PANTHEON id from the members and the seed. A seed of 32 bytes
        # can be another member's key. Both ids are then equal.
        seed = self.seed
        return seed is not None and len(seed) == KEY_BYTES and self.id == group_id((*self.members, seed))

    @property
    def group(self) -> PrivacyGroup:
        """The group as `PrivacyGroup`, the form that the node sees. It does not show whether the group is deleted."""
        return PrivacyGroup(self.id, self.name, self.description, self.type, self.members)


def encode_orion_group(record: GroupRecord) -> bytes:
    """Return a record in Orion's CBOR. It does not have the id of the group."""
    fields: dict[str, object] = {
        "addresses": [to_base64(member) for member in record.members],
        "name": record.name,
        "description": record.description,
        "state": "ACTIVE" if record.active else "DELETED",
        "type": record.type.value,
    }
    # Orion leaves the field out for a LEGACY group. A field with null would be another record for it.
    if record.seed is not None:
        fields["randomSeed"] = record.seed
    return encode_map(fields)


def decode_orion_group(data: bytes) -> GroupRecord:
    """Decode a record from Orion's CBOR. An absent name or description becomes empty text. CborError if it is malformed
    or above a bound."""
    fields = decode_map(data, "group", {"addresses": _decode_member}, WIDE_TEXT_BYTES)
    members = fields.read_field("addresses", list)
    if not 1 <= len(members) <= MAX_GROUP_MEMBERS:
        raise CborError(f"group.addresses: from 1 to {MAX_GROUP_MEMBERS} were expected, found {len(members)}")
    # Orion leaves out an empty name. Absent and empty are the same here.
    name, description = fields.read_field("name", str, True) or "", fields.read_field("description", str, True) or ""
    if max(len(name), len(description)) > MAX_TEXT_CHARACTERS:
        raise CborError(f"group: a name and description of at most {MAX_TEXT_CHARACTERS} characters were expected")
    state, kind = fields.read_field("state", str), fields.read_field("type", str)
    if state not in ("ACTIVE", "DELETED") or kind not in ("LEGACY", "PANTHEON"):
        raise CborError("group: a state ACTIVE or DELETED and a type LEGACY or PANTHEON were expected")
    # A LEGACY record with a seed would have two possible ids. It is refused.
    seed = fields.read_field("randomSeed", bytes, kind == "LEGACY")
    if seed is not None and (kind == "LEGACY" or len(seed) > MAX_SEED_BYTES):
        raise CborError(f"group.randomSeed: at most {MAX_SEED_BYTES} bytes, and none for LEGACY, were expected")
    fields.check_no_fields_left()
    return GroupRecord(tuple(members), name, description, state == "ACTIVE", GroupType(kind), seed)


def _decode_member(value: object) -> bytes:
    # Orion writes keys as base64 text, and not as bytes.
    try:
        return from_base64(value, KEY_BYTES)
    except ValueError as error:
        raise CborError(f"group.addresses: {error}") from None
