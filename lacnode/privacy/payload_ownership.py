"""Whose a payload is: the one rule by which a payload belongs to the group that its sender names for it.

Used when a peer pushes a payload, when one is recovered or resent, when its marker is executed, and when RPC shows it. The
group's id travels outside the box that proves the sender, so it is compared with what the private transaction in the box
says. Must not show what is in a payload, nor believe an id whose members it cannot compute.
"""

import base64
import binascii
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpItem
from lacnode.privacy.group_ids import group_id, tessera_group_id

TRANSACTION_FIELDS = 12
PRIVATE_FROM, RECIPIENTS = 9, 10
"""Places of the sender's key, and of the recipients' keys or the group, in a private transaction's RLP list."""

MAX_RECIPIENTS, MAX_KEY_BYTES = 4_096, 91
"""Keys that a private transaction may name, as many as a payload has boxes, and bytes of each. Groups' ids are computed from
these keys byte by byte: without a bound one push would hold the interpreter for minutes."""

NOT_THE_SENDER = "its privateFrom is not the key that sent it"
ANOTHER_GROUP = "its privacyGroupId is not the group that it was sent to"
NO_MEMBER = "its sender is no member of the group"
NOT_THE_RECIPIENTS = "the group that it was sent to is not that of its privateFrom and privateFor"
FLEXIBLE = "it is for a flexible group"


@dataclass(frozen=True, slots=True, repr=False)
class PayloadParties:
    """The keys that a private transaction names. Exactly one of `private_for` and `group_id` is set. `is_flexible` if the
    transaction is written as for a flexible group, with the group's version behind it."""

    private_from: bytes
    private_for: tuple[bytes, ...] | None
    group_id: bytes | None
    is_flexible: bool = False

    @property
    def named(self) -> tuple[bytes, ...]:
        """The sender's key and those of the recipients that it names."""
        return tuple(dict.fromkeys((self.private_from, *(self.private_for or ()))))


class GroupKnowledge(Protocol):
    """What is known of groups where the rule is applied."""

    def named_members(self, group_id: bytes) -> Collection[bytes] | None:
        """The members of a PANTHEON group; None if the group is not known, or is none."""

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Collection[bytes] | None:
        """The members of the LEGACY group `group_id`, if these are found to be `named` and more, as `alwayssendto` makes
        them. The id must have been computed from them."""


def read_parties(payload: bytes) -> PayloadParties | None:
    """Whom the private transaction in a decrypted `payload` names; None if there is no private transaction in it, or one
    that names too many keys or too long ones."""
    try:
        item = rlp.decode(base64.b64decode(payload, validate=True))
    except (binascii.Error, RlpError):
        return None
    return parties_of_item(item)


def parties_of_item(item: RlpItem) -> PayloadParties | None:
    """The same for the RLP item in a payload."""
    if isinstance(item, list) and item and isinstance(item[0], list):
        return _parties(item[0], is_flexible=True)
    return _parties(item, is_flexible=False)


def _parties(item: RlpItem, *, is_flexible: bool) -> PayloadParties | None:
    if not isinstance(item, list) or len(item) != TRANSACTION_FIELDS:
        return None
    private_from, recipients = item[PRIVATE_FROM], item[RECIPIENTS]
    if not isinstance(private_from, bytes):
        return None
    if isinstance(recipients, bytes):
        return PayloadParties(private_from, None, recipients, is_flexible)
    if len(recipients) > MAX_RECIPIENTS:
        return None
    keys = tuple(key for key in recipients if isinstance(key, bytes) and len(key) <= MAX_KEY_BYTES)
    return PayloadParties(private_from, keys, None, is_flexible) if len(keys) == len(recipients) else None


def refusal(
    parties: PayloadParties, sender: bytes, sent_to: bytes, groups: GroupKnowledge, *, unknown_passes: bool = False
) -> str | None:
    """Why a payload of `parties`, in a box of `sender` (32-byte key, proven by the box), does not belong to the group
    `sent_to` (32-byte id); None if it does. A PANTHEON group that is not known is a reason unless `unknown_passes`."""
    if parties.private_from != sender:
        return NOT_THE_SENDER
    if parties.is_flexible:
        return None  # its group's contract says who the members are, when the marker is executed
    if parties.group_id is None:
        return None if _is_group_of(parties.named, sent_to, groups) else NOT_THE_RECIPIENTS
    if parties.group_id != sent_to:
        return ANOTHER_GROUP
    members = groups.named_members(sent_to)
    if members is None:
        return None if unknown_passes else NO_MEMBER
    return None if sender in members else NO_MEMBER


def _is_group_of(named: Sequence[bytes], sent_to: bytes, groups: GroupKnowledge) -> bool:
    """Whether `sent_to` is the LEGACY group of `named`, whose id Tessera writes otherwise where it is large, or of `named`
    and more. The sender is among `named`, so a stranger reaches no group that it is no member of."""
    if is_legacy_group_of(named, sent_to):
        return True
    members = groups.widened_members(named, sent_to)
    return members is not None and set(named) <= set(members)


def is_legacy_group_of(members: Sequence[bytes], id_: bytes) -> bool:
    """Whether `id_` is the LEGACY id of exactly `members`, as Orion or as Tessera computes it."""
    return id_ in (group_id(members), tessera_group_id(members))
