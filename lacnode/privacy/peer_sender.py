"""What the manager needs of the network: one message to several peers at once. Must not know what is in it."""

from collections.abc import Mapping
from typing import Protocol


class PeerSender(Protocol):
    """Sends to other managers. Safe to call from several threads."""

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        """POST each body, CBOR, to `path` of the manager at its URL, all at once, for 1.5 s each. The answer of each, None
        where there was none or its status was not 200."""
