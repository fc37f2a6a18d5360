"""The interface between private execution and the transaction manager: one in this process, or one behind HTTP.

Both are used in the same way, so private execution does not know which one it has. This module must not have a key or open a
connection. It only names the requests and the answers.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class EnclaveUnreachableError(Exception):
    """The manager gave no usable answer: it is down, too slow, its database fails, or its answer is malformed."""


class EnclaveError(Exception):
    """The manager answered with an error.

    `code` is Orion's error code or, where Orion has none, Tessera's text. `detail` is for the caller: it has what Orion does
    not say, and never a payload.
    """

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        # The code becomes the message of the JSON-RPC error, as in Besu. The detail becomes its data.
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ReceivedPayload:
    """A payload as one of its recipients reads it. `repr` does not show the plaintext."""

    # The plaintext must not reach a log by the `repr` of this object.
    payload: bytes = field(repr=False)
    """The plaintext."""
    sender: bytes
    """The public key of the sender (32 bytes)."""
    group_id: bytes
    """The id of its group (32 bytes)."""


class GroupType(Enum):
    """The origin of a group: the recipients of one payload (LEGACY), or a creation by name (PANTHEON)."""

    # The names are Orion's, and its JSON has them.
    LEGACY = "LEGACY"
    PANTHEON = "PANTHEON"


@dataclass(frozen=True, slots=True)
class PrivacyGroup:
    """A group as its members see it.

    `id` (32 bytes) comes from the manager. Tessera's ids of large groups differ from Orion's, so no other part computes
    the id again. `name` and `description` may be empty. `members` are public keys (32 bytes each).
    """

    id: bytes
    name: str
    description: str
    type: GroupType
    members: tuple[bytes, ...]


class TransactionManager(Protocol):
    """Stores payloads and sends them to other managers.

    Every method is synchronous, bounded in time and safe to call from several threads. Every method but `is_up` raises
    EnclaveUnreachableError if the manager does not answer, and EnclaveError if it answers with an error.
    `pantheon_members` and `widened_members` return None for such an error.
    """

    def is_up(self) -> bool:
        """Return True if the manager answers. Raises no error."""

    def send(self, payload: bytes, sender: bytes | None, recipients: Sequence[bytes]) -> bytes:
        """Encrypt `payload` for `recipients` (public keys) and the sender, deliver it, and return its key (32 bytes).

        `sender` is an own public key, None for the manager's first key. The payload is durable when this returns. Its
        group is the LEGACY group of the sender and the recipients. EnclaveError if a key is unknown or a recipient's
        manager does not confirm: the payload may then be stored and be delivered to some. EnclaveUnreachableError if
        the manager does not answer.
        """

    def send_to_group(self, payload: bytes, sender: bytes, group_id: bytes) -> bytes:
        """Send `payload` as the own public key `sender` to the members of the group `group_id` (32 bytes), and return
        its key (32 bytes). EnclaveError if the group is unknown, the sender is no member, or a member's manager does
        not confirm. EnclaveUnreachableError if the manager does not answer."""

    def receive(self, key: bytes, to: bytes | None = None) -> ReceivedPayload:
        """Return the payload of `key` (32 bytes), read with the private key of `to` (a public key) or, if it is None,
        of any own key.

        EnclaveError `EnclavePayloadNotFound` if there is none, another code if no such own key opens it.
        EnclaveUnreachableError if the manager does not answer.
        """

    def create_group(
        self, members: Sequence[bytes], sender: bytes, name: str = "", description: str = "", seed: bytes | None = None
    ) -> PrivacyGroup:
        """Create a PANTHEON group of the public keys `members` (32 bytes each), for the own key `sender`, which is one
        of them. The managers of all members know it when this returns. The seed is random if `seed` is None.
        EnclaveError if the manager refuses or a member's manager does not confirm. EnclaveUnreachableError if the
        manager does not answer.
        """

    def delete_group(self, group_id: bytes, sender: bytes) -> bytes:
        """Delete the group `group_id` (32 bytes) for its member `sender` (an own public key), also at the other
        members. Return the id. EnclaveError if the group is unknown or cannot be deleted. EnclaveUnreachableError if
        the manager does not answer."""

    def find_groups(self, members: Sequence[bytes]) -> Sequence[PrivacyGroup]:
        """Return the groups that have exactly these members (public keys of 32 bytes), an empty sequence if there are
        none. The order of `members` does not matter. Deleted groups are left out. EnclaveUnreachableError if the
        manager does not answer."""

    def retrieve_group(self, group_id: bytes) -> PrivacyGroup:
        """Return the group with this id (32 bytes). EnclaveError `PrivacyGroupNotFound` if it is unknown or deleted.
        EnclaveUnreachableError if the manager does not answer."""

    def pantheon_members(self, group_id: bytes) -> Collection[bytes] | None:
        """Return the public keys of the members of the PANTHEON group `group_id` (32 bytes), also of a deleted one if
        the manager still tells it. None if it is unknown, empty if it has another type. EnclaveUnreachableError if the
        manager does not answer."""

    # The manager answers this question, not the node: only managers know the keys that `alwayssendto` may add.
    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Sequence[bytes] | None:
        """Return the members of the LEGACY group `group_id` (32 bytes) if they are the public keys `named` and more, as
        `alwayssendto` makes them.

        None if the manager does not find them. The caller checks that `named` are among them. EnclaveUnreachableError
        if it does not answer.
        """
