"""Ending the session of a peer that misuses the consensus protocol. Must not decide which peer does."""

from collections.abc import Callable

import trio

from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.rate_limited_log import RateLimitedLog

COOL_DOWN_SECONDS = 60.0
"""Seconds for which a node whose session was ended is refused."""


class PeerExpulsion:
    """Ends sessions. `deny(node_id, reason, seconds)` refuses later connections of a node (`PeerSet.deny`)."""

    def __init__(self, deny: Callable[[bytes, str, float], None]) -> None:
        self._deny = deny
        self._log = RateLimitedLog("consensus", trio.current_time)

    def expel(self, peer: Peer, reason: str) -> None:
        """End the session with `peer` and refuse the node for `COOL_DOWN_SECONDS`. A static node is not refused.
        `reason` is a text for the log. Nothing if the session is ending already. Call on the event loop."""
        # Several messages of one peer may be handled before its session ends. One line and one refusal are enough.
        if peer.end_reason is None:
            self._log.warning(("ended", peer.id), "session ended", peer=peer.enode_text, reason=reason)
            # Refused before the session ends: the node could dial again at once.
            self._deny(peer.id, reason, COOL_DOWN_SECONDS)
            peer.end_session(DisconnectReason.SUBPROTOCOL_REASON)
