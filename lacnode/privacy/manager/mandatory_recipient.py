"""A group with a mandatory recipient: a supervisor that receives every payload of the group.

The supervisor is a member like the others. So any transaction manager can handle the group, Orion and Tessera too. This
module must not hide the supervisor. The description of the group names it, and all members have the description.
"""

from collections.abc import Sequence

from lacnode.privacy.keys import to_base64


def add_mandatory_recipient(
    members: Sequence[bytes], description: str, supervisor: bytes
) -> tuple[tuple[bytes, ...], str]:
    """Return the distinct members, with `supervisor` among them, and the description with a note that names it in
    base64. Nothing is created here.

    `supervisor` and `members` are public keys of managers (32 bytes each).
    """
    # A supervisor that is a member already must not be there twice: the group id is computed from the members.
    named = f"{description} [mandatory recipient: {to_base64(supervisor)}]".strip()
    return tuple(dict.fromkeys((*members, supervisor))), named
