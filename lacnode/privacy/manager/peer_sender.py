"""What the manager needs of the network: one message to several peers at once. Must not know what is in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

REFUSED = b""
"""What stands for an answer with an error: the manager is there, and does not know the path or not what it was asked."""


class PeerSender(Protocol):
    """Sends to other managers, and gives up those that take too long. Safe to call from several threads."""

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        """POST each body, CBOR, to `path` of the manager at its URL, all at once. The answer of each,
        REFUSED if its status was not 200 or 201, None where there was none."""


@dataclass(frozen=True, slots=True)
class PeerCall:
    """One request to `path` of the manager at `url`, whose protocol may be another than Orion's."""

    method: str
    url: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    gives_payloads: bool = False
    """Whether the answer may be as large as a payload."""


class PeerCaller(Protocol):
    """Makes any requests of other managers, and gives up those that take too long. Safe to call from several threads."""

    def call(self, calls: Sequence[PeerCall]) -> Sequence[bytes | None]:
        """All at once. The answer of each, None where there was none or its status was not 200 or 201."""
