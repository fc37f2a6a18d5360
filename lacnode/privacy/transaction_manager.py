"""The seam between private execution and whatever keeps and sends payloads: the manager in this process, or one behind
HTTP.

A manager encrypts what it is given for its recipients, sends it to them, and gives it back by its key. What stands here
says nothing of how; it must not know a transaction, a block or a state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class ManagerUnreachable(Exception):
    """Nobody answers."""


class ManagerError(Exception):
    """The manager answered with an error. `code` is Orion's code word (`EnclavePayloadNotFound`) or Tessera's text."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class ReceivedPayload:
    """A decrypted payload, who sent it (32-byte public key), and the privacy group it belongs to (32 bytes)."""

    payload: bytes
    sender: bytes
    group_id: bytes

    def __repr__(self) -> str:
        return f"ReceivedPayload({len(self.payload)} bytes)"


class GroupType(Enum):
    """How a group came to be: from a transaction's privateFrom and privateFor, or by asking for one."""

    LEGACY = "LEGACY"
    PANTHEON = "PANTHEON"


@dataclass(frozen=True, slots=True)
class PrivacyGroup:
    """A privacy group; members are public keys."""

    id: bytes
    name: str
    description: str
    type: GroupType
    members: tuple[bytes, ...]


class TransactionManager(Protocol):
    """All methods are synchronous, bounded in time and safe from several threads. They raise ManagerUnreachable and
    ManagerError."""

    def is_up(self) -> bool:
        """Whether the manager answers; raises nothing."""
        ...

    def send(self, payload: bytes, sender: bytes | None, recipients: Sequence[bytes]) -> bytes:
        """Store `payload` and send it to `recipients` (a legacy group); the 32-byte payload key."""
        ...

    def send_to_group(self, payload: bytes, sender: bytes, group_id: bytes) -> bytes:
        """Store `payload` and send it to the members of a group; the 32-byte payload key."""
        ...

    def receive(self, key: bytes, to: bytes | None = None) -> ReceivedPayload:
        """The payload under `key`, decrypted for `to` or any own key; ManagerError("EnclavePayloadNotFound") if the
        manager has none."""
        ...

    def create_group(
        self, members: Sequence[bytes], sender: bytes, name: str = "", description: str = "", seed: bytes | None = None
    ) -> PrivacyGroup:
        """Make a PANTHEON group and tell its members."""
        ...

    def delete_group(self, group_id: bytes, sender: bytes) -> bytes:
        """Delete a group and tell its members; its id."""
        ...

    def find_groups(self, members: Sequence[bytes]) -> Sequence[PrivacyGroup]:
        """The groups of exactly these members."""
        ...

    def retrieve_group(self, group_id: bytes) -> PrivacyGroup:
        """The group with this id; ManagerError("PrivacyGroupNotFound") if there is none."""
        ...
