"""The seam between private execution and whatever keeps and sends payloads: the manager in this process, or one behind
HTTP. Both are used the same way, so private execution never learns which it has.

Must not hold a key or open a connection: it names what is asked and what is answered, nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class EnclaveUnreachableError(Exception):
    """Nobody answers: the manager is down, or too slow."""


class EnclaveError(Exception):
    """The manager answered with an error; `code` is Orion's code word or, where none fits, Tessera's text. `detail` is for
    whoever called: what Orion does not say, and never a payload."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ReceivedPayload:
    """A payload as one of its recipients reads it. `repr` leaves the plaintext out."""

    payload: bytes = field(repr=False)
    """Decrypted."""
    sender: bytes
    """32-byte public key."""
    group_id: bytes
    """32 bytes."""


class GroupType(Enum):
    """How a group came to be: by the recipients of one payload, or by name."""

    LEGACY = "LEGACY"
    PANTHEON = "PANTHEON"


@dataclass(frozen=True, slots=True)
class PrivacyGroup:
    """A group as its members know it. `id` is the manager's: Tessera's differ from Orion's for large groups, so nobody
    computes one again."""

    id: bytes
    name: str
    description: str
    type: GroupType
    members: tuple[bytes, ...]


class TransactionManager(Protocol):
    """Keeps and sends payloads. Every method is synchronous, bounded in time, safe to call from several threads, and
    raises EnclaveUnreachableError or EnclaveError."""

    def is_up(self) -> bool:
        """Whether the manager answers. Raises nothing."""

    def send(self, payload: bytes, sender: bytes | None, recipients: Sequence[bytes]) -> bytes:
        """Encrypt for `recipients` and the sender (None: the manager's first key), deliver, and return the 32-byte
        payload key, which is durable by then. The group is the legacy one of sender and recipients."""

    def send_to_group(self, payload: bytes, sender: bytes, group_id: bytes) -> bytes:
        """The same for the members of a group."""

    def receive(self, key: bytes, to: bytes | None = None) -> ReceivedPayload:
        """The payload of `key`, read with the private key of `to` or of any own key. EnclaveError
        `EnclavePayloadNotFound` when there is none."""

    def create_group(
        self, members: Sequence[bytes], sender: bytes, name: str = "", description: str = "", seed: bytes | None = None
    ) -> PrivacyGroup:
        """A new group, known to every member's manager. A seed of None is a random one."""

    def delete_group(self, group_id: bytes, sender: bytes) -> bytes:
        """The id of the group that is no longer."""

    def find_groups(self, members: Sequence[bytes]) -> Sequence[PrivacyGroup]:
        """Groups with exactly these members, whatever their order."""

    def retrieve_group(self, group_id: bytes) -> PrivacyGroup:
        """One group; EnclaveError `PrivacyGroupNotFound` when unknown."""

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Sequence[bytes] | None:
        """The members of the LEGACY group `group_id`, if the manager finds that they are `named` and more, as
        `alwayssendto` makes them; None if it does not."""
