"""Whose word a group record is: what becomes of the record that is kept when another manager tells of a group.

A group's id is computed from its record, so a record speaks of one group alone; a kept record is never replaced. Must not
store anything.
"""

from dataclasses import replace

from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.transaction_manager import GroupType


class GroupRefusedError(Exception):
    """A group record that is not accepted; the message says why, and quotes nothing of it."""


def accept_group_record(record: GroupRecord, known: GroupRecord | None, teller: bytes | None) -> GroupRecord | None:
    """What is to be kept of a group when another manager tells `record` of it and `known` is kept: None for nothing new.

    `teller` is the key (32 bytes) that the other manager has proven, None where its protocol proves none. GroupRefusedError.
    """
    if teller is not None and teller not in record.members:
        raise GroupRefusedError("it is told by a key that is no member")
    if record.has_recipients_id:
        raise GroupRefusedError("its seed gives it the id of a group of recipients")
    if record.type is GroupType.LEGACY:
        raise GroupRefusedError("a group of recipients is made by what is sent to it, and not told")
    if known is None:
        # Who proves nothing deletes no group before it exists.
        return None if teller is None and not record.active else record
    if not known.active:
        return None
    if not record.active:
        return replace(known, active=False)
    if (record.name, record.description, record.type) != (known.name, known.description, known.type):
        raise GroupRefusedError("the group is known by another name")
    return None


def accept_recovered_group(record: GroupRecord, known: GroupRecord | None, teller: bytes) -> GroupRecord | None:
    """The same, when `teller` gives back what this manager may have lost: groups of recipients too, as nothing but their
    members."""
    if record.type is not GroupType.LEGACY:
        return accept_group_record(record, known, teller)
    if teller not in record.members:
        raise GroupRefusedError("it is told by a key that is no member")
    return GroupRecord.legacy(record.members) if known is None else None
