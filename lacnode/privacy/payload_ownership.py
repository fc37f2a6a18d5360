"""The rule that says to which group a payload belongs.

It is applied when another manager pushes a payload, when a payload is recovered, when its marker is executed, and when RPC
shows it. The id of the group is outside the box that proves the sender. So it is compared with the private transaction in
the box. This module must not show the content of a payload. It must not believe an id whose members it cannot compute.
"""

import base64
import binascii
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpItem
from lacnode.privacy.group_ids import MAX_KEY_BYTES, group_id, tessera_group_id

TRANSACTION_FIELDS = 12
PRIVATE_FROM, RECIPIENTS = 9, 10
"""The positions of the sender's key, and of the recipients' keys or the group id, in the RLP list."""

MAX_RECIPIENTS = 4_096
"""The largest number of recipients' keys of a private transaction, as many as boxes. Each has at most `MAX_KEY_BYTES`.

Group ids are computed from these keys byte by byte. Without a bound one push would occupy the interpreter for minutes."""

NOT_THE_SENDER = "its privateFrom is not the key that sent it"
ANOTHER_GROUP = "its privacyGroupId is not the group that it was sent to"
NO_MEMBER = "its sender is no member of the group"
NOT_THE_RECIPIENTS = "the group that it was sent to is not that of its privateFrom and privateFor"
FLEXIBLE = "it is for a flexible group"


@dataclass(frozen=True, slots=True, repr=False)
class PayloadParties:
    """The keys that a private transaction names. Exactly one of `private_for` and `group_id` is set.

    The values are as the sender wrote them, and their lengths are not checked, with two exceptions. No key of
    `private_for` has more than `MAX_KEY_BYTES`. A longer `private_from` is cut to `MAX_KEY_BYTES`. `is_flexible` says
    that the transaction has the form for a flexible group: its group's version follows it.
    """

    private_from: bytes
    private_for: tuple[bytes, ...] | None
    group_id: bytes | None
    is_flexible: bool = False

    @property
    def named_keys(self) -> tuple[bytes, ...]:
        """The distinct keys that are named: first that of the sender, then those of the recipients. The sender's alone
        if a group id is named. Their lengths are not checked."""
        return tuple(dict.fromkeys((self.private_from, *(self.private_for or ()))))


class GroupKnowledge(Protocol):
    """The members of groups, as far as a manager or a node knows them. The rule about who may send to a group asks for
    them."""

    def pantheon_members(self, group_id: bytes) -> Collection[bytes] | None:
        """Return the public keys of the members of a PANTHEON group, by its id (32 bytes). None if the group is
        unknown, empty if it has another type. EnclaveUnreachableError if the manager or its store does not answer."""

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Collection[bytes] | None:
        """Return the members of the LEGACY group `group_id` (32 bytes) if they are the public keys `named` (32 bytes
        each) and more, as `alwayssendto` makes them. None if such members are not known.

        The result must be keys from which `group_id` is computed. That `named` are among them is checked by the caller.
        EnclaveUnreachableError if the manager or its store does not answer.
        """


def read_parties(payload: bytes) -> PayloadParties | None:
    """Return the keys that the private transaction in the plaintext `payload` names. The plaintext is base64 text of
    RLP.

    None if it has no private transaction, or one that names too many recipients or too long keys of recipients.
    """
    try:
        # The plaintext is the base64 text of the transaction, as Besu gives it to the manager.
        encoded = base64.b64decode(payload, validate=True)
        # It may have 15 MB, and the item takes most of it again.
        del payload
        item = rlp.decode(encoded)
    except (binascii.Error, RlpError):
        return None
    return parties_of_item(item)


def parties_of_item(item: RlpItem) -> PayloadParties | None:
    """Return the keys that the private transaction in the decoded RLP item of a payload names. None if it has no
    private transaction, or one that names more than `MAX_RECIPIENTS` recipients or a recipient's key of more than
    `MAX_KEY_BYTES`."""
    # A payload of a flexible group is a list of the transaction and the group's version.
    if isinstance(item, list) and item and isinstance(item[0], list):
        return _parties(item[0], is_flexible=True)
    return _parties(item, is_flexible=False)


def _parties(item: RlpItem, *, is_flexible: bool) -> PayloadParties | None:
    # A client may store any bytes in the manager. Without this exact form there are no parties to compare.
    if not isinstance(item, list) or len(item) != TRANSACTION_FIELDS:
        return None
    private_from, recipients = item[PRIVATE_FROM], item[RECIPIENTS]
    if not isinstance(private_from, bytes):
        return None
    # A longer one is cut. It equals no sender's key, so the payload is refused. None would pass for a payload without a
    # private transaction, which may be stored.
    private_from = private_from[:MAX_KEY_BYTES]
    # `privacyGroupId` is a byte string, `privateFor` a list.
    if isinstance(recipients, bytes):
        return PayloadParties(private_from, None, recipients, is_flexible)
    if len(recipients) > MAX_RECIPIENTS:
        return None
    # One key that is too long makes the whole payload unreadable. To leave it out would compute another group.
    keys = tuple(key for key in recipients if isinstance(key, bytes) and len(key) <= MAX_KEY_BYTES)
    return PayloadParties(private_from, keys, None, is_flexible) if len(keys) == len(recipients) else None


def find_ownership_refusal(
    parties: PayloadParties, sender: bytes, sent_to: bytes, groups: GroupKnowledge, *, unknown_passes: bool = False
) -> str | None:
    """Return why a payload does not belong to the group `sent_to` (32 bytes), as a text without its content. None if it
    does.

    `parties` are the keys in the payload. `sender` is the key (32 bytes) that the box proves. An unknown PANTHEON group
    is a reason unless `unknown_passes`. In a payload for a flexible group only the sender is compared. The errors of
    `groups` pass through.
    """
    # The box proves the sender. A different key inside would let a member speak for another member.
    if parties.private_from != sender:
        return NOT_THE_SENDER
    if parties.is_flexible:
        # The contract of the group says who the members are. It is asked when the marker is executed.
        return None
    if parties.group_id is None:
        return None if _is_group_of(parties.named_keys, sent_to, groups) else NOT_THE_RECIPIENTS
    if parties.group_id != sent_to:
        return ANOTHER_GROUP
    # Both ids are equal here. That is not enough: a stranger may know the id and send a payload into the group.
    members = groups.pantheon_members(sent_to)
    if members is None:
        # A payload that was executed before passes: the manager may have lost the record of its group since then.
        return None if unknown_passes else NO_MEMBER
    return None if sender in members else NO_MEMBER


def _is_group_of(named: Sequence[bytes], sent_to: bytes, groups: GroupKnowledge) -> bool:
    """Return True if `sent_to` is the LEGACY group of `named`, by Orion's or Tessera's id, or of `named` and more.

    The sender is in `named`. So a stranger cannot reach a group that it does not belong to.
    """
    # The direct case comes first. The search for widened groups costs a computation for each known key.
    if is_legacy_group_of(named, sent_to):
        return True
    members = groups.widened_members(named, sent_to)
    return members is not None and set(named) <= set(members)


def is_legacy_group_of(members: Sequence[bytes], id_: bytes) -> bool:
    """Return True if `id_` (32 bytes) is the LEGACY id of exactly these members (public keys in any order), as Orion or
    as Tessera computes it."""
    # Small groups have the same id in both. The second one is computed only if it is needed.
    return id_ == group_id(members) or id_ == tessera_group_id(members)
