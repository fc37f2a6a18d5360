"""The manager's interface to the network: messages to several managers at once. Must not know their content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

# No answer of any manager is empty, so the empty answer is free to mean this.
REFUSED_REPLY = b""
"""The result of an answer with an error status: the manager is there, but it refuses the path or the request."""


class PeerSender(Protocol):
    """Sends requests to other managers and does not wait for slow ones beyond a time limit. Safe to use from several
    threads."""

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        """POST each body (CBOR) to `path` of the manager at its URL. The requests are sent at the same time, as far as
        the sender's limit of open calls allows. Return the answer of every URL. This blocks until all have answered or
        their time is over, and raises no error.

        REFUSED_REPLY stands for a status other than 200 and 201. None stands for no answer that can be used.
        """


@dataclass(frozen=True, slots=True)
class PeerCall:
    """One request with the HTTP `method` to `path` at the host of `url`. The path of `url` does not count. The manager
    may have another protocol than Orion's."""

    method: str
    url: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    gives_payloads: bool = False
    """Whether the answer may be as large as a payload."""


class PeerCaller(Protocol):
    """Sends any requests to other managers and does not wait for slow ones beyond a time limit. Safe to use from
    several threads."""

    def call(self, calls: Sequence[PeerCall]) -> Sequence[bytes | None]:
        """Send the requests at the same time, as far as the sender's limit of open calls allows. Return the bodies of
        the answers in the order of the calls. This blocks until all have answered or their time is over, and raises no
        error.

        None stands for no answer that can be used, and for a status other than 200 and 201.
        """
