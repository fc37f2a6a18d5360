"""A group with a mandatory recipient: a supervisor that receives all that is sent to the group, and that every member sees.

It is a member like the others, which is why any transaction manager can carry it, Orion and Tessera too. Must not hide it:
what names it is in the description, which all members have.
"""

from collections.abc import Sequence

from lacnode.privacy.keys import to_base64


def add_mandatory_recipient(
    members: Sequence[bytes], description: str, supervisor: bytes
) -> tuple[tuple[bytes, ...], str]:
    """The members and the description of a group that is to have `supervisor` (a manager's public key) for its mandatory
    recipient."""
    named = f"{description} [mandatory recipient: {to_base64(supervisor)}]".strip()
    return tuple(dict.fromkeys((*members, supervisor))), named
