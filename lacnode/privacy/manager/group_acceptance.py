"""The rules that decide about a group record that another manager sends.

The id of a group is computed from its record. So a record speaks of one group alone. A stored record is never replaced
by another one. It can only become a deleted one. This module must not store anything.
"""

from dataclasses import replace

from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.transaction_manager import GroupType


class GroupRefusedError(Exception):
    """A group record is not accepted. The text says why and quotes nothing of the record."""


def accept_group_record(
    record: GroupRecord, known: GroupRecord | None, proven_teller: bytes | None
) -> GroupRecord | None:
    """Return the record to store when another manager sends `record`. None if there is nothing new, if the known group
    is deleted, or if `record` deletes an unknown group without a proof. Nothing is stored here.

    `known` is the stored record of the group, None if there is none. `proven_teller` is the key (32 bytes) that the
    other manager has proven, None if its protocol proves no key. It must not be a key that the message only names: a
    proven member may delete a group that is unknown here.

    GroupRefusedError if `proven_teller` is no member, the group is LEGACY, its seed imitates the id of a LEGACY group,
    or the group is known with another name or description.
    """
    if proven_teller is not None and proven_teller not in record.members:
        raise GroupRefusedError("it is told by a key that is no member")
    # A PANTHEON seed of 32 bytes can be chosen so that the id is the id of a LEGACY group. Its record would then decide who
    # may send to a group that the sender does not belong to.
    if record.seed_imitates_legacy_id:
        raise GroupRefusedError("its seed gives it the id of a group of recipients")
    if record.type is GroupType.LEGACY:
        raise GroupRefusedError("a group of recipients is made by what is sent to it, and not told")
    if known is None:
        # A deleted record of an unknown group would stop the group before it exists. Only a proven member may do that.
        return None if proven_teller is None and not record.active else record
    # A deletion is final. An old record that comes late, or is sent again, must not bring the group back.
    if not known.active:
        return None
    if not record.active:
        return replace(known, active=False)
    # The name and the description are not part of the id. A member could otherwise rename the group of all others.
    if (record.name, record.description, record.type) != (known.name, known.description, known.type):
        raise GroupRefusedError("the group is known by another name")
    return None


def accept_recovered_group(record: GroupRecord, known: GroupRecord | None, proven_teller: bytes) -> GroupRecord | None:
    """Return the record to store when a manager that has proven the key `proven_teller` (32 bytes) gives back a record
    that this manager may have lost. None if there is nothing new. `known` is the stored record, None if there is none.
    The rules and the GroupRefusedError are those of `accept_group_record`, except that a LEGACY group is accepted too,
    with its members alone.
    """
    if record.type is not GroupType.LEGACY:
        return accept_group_record(record, known, proven_teller)
    if proven_teller not in record.members:
        raise GroupRefusedError("it is told by a key that is no member")
    # The name and the description of a LEGACY group are fixed. Other texts in the record are not taken over.
    return GroupRecord.legacy(record.members) if known is None else None
