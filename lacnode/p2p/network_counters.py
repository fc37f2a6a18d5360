"""Counts of sessions and messages of one node, for its metrics. Must not decide anything.

Every key comes from this node's own tables of messages and reasons, so a peer cannot add keys.
"""

from collections import Counter

from lacnode.p2p.rlpx import ConnectionFailedError, PeerDisconnectedError
from lacnode.p2p.supported_capabilities import CONSENSUS_MESSAGES
from lacnode.p2p.wire import discv4, eth_messages
from lacnode.p2p.wire.capabilities import FIRST_OFFSET, CapabilityTable
from lacnode.p2p.wire.p2p_messages import DISCONNECT, HELLO, PING, PONG, DisconnectReason

BASE_NAMES = {HELLO: "Hello", DISCONNECT: "Disconnect", PING: "Ping", PONG: "Pong"}
UNKNOWN_NAME = "invalid"
"""Besu's name of a message that its protocol does not have."""

DISCOVERY_NAMES = {
    discv4.Ping.TYPE: "PING",
    discv4.Pong.TYPE: "PONG",
    discv4.FindNode.TYPE: "FIND_NEIGHBORS",
    discv4.Neighbors.TYPE: "NEIGHBORS",
    discv4.EnrRequest.TYPE: "ENR_REQUEST",
    discv4.EnrResponse.TYPE: "ENR_RESPONSE",
}
_DISCOVERY_TYPE_AT = 97
"""Position of the type in a packet: behind a hash of 32 and a signature of 65 bytes."""

MessageKey = tuple[str, str, int]
"""Protocol with version (`Wire` for the base protocol), name, and code of a message."""


class NetworkCounters:
    """Counts since the start: sessions that began (`connected`) and ended (`disconnected`), messages by their
    `MessageKey`, and packets of discovery by their name. Written on the event loop. Readers in other threads copy a
    counter before they walk it."""

    def __init__(self) -> None:
        self.connected = 0
        self.disconnected: Counter[tuple[str, str]] = Counter()
        """By initiator (`local`, `remote`) and reason."""
        self.messages_in: Counter[MessageKey] = Counter()
        self.messages_out: Counter[MessageKey] = Counter()
        self.datagrams_in: Counter[str] = Counter()
        self.datagrams_out: Counter[str] = Counter()

    def session_ended(self, cause: ConnectionFailedError | None) -> None:
        """Count a session that has ended. `cause` is the error that ended it, None if this node stops, or if the
        session failed by a fault of this node."""
        if isinstance(cause, PeerDisconnectedError):
            # A connection that just breaks has no reason. Besu counts it so.
            reason = cause.theirs or DisconnectReason.TCP_SUBSYSTEM_ERROR
            self.disconnected["remote", reason.name] += 1
            return
        reason = DisconnectReason.CLIENT_QUITTING if cause is None else cause.reason or DisconnectReason.UNKNOWN
        self.disconnected["local", reason.name] += 1

    def message_received(self, table: CapabilityTable, message_id: int) -> None:
        """Count a message with this absolute id from a peer with the protocols of `table`. An id that belongs to no
        protocol is not counted.
        """
        key = _key(table, message_id)
        if key is not None:
            self.messages_in[key] += 1

    def message_sent(self, table: CapabilityTable, message_id: int) -> None:
        """Count a message with this absolute id that this node has sent to a peer with the protocols of `table`. An id
        that belongs to no protocol is not counted.
        """
        key = _key(table, message_id)
        if key is not None:
            self.messages_out[key] += 1

    def datagram_sent(self, datagram: bytes) -> None:
        """Count a packet of discovery that this node has sent, by its type. `datagram` must have at least 98 bytes."""
        self.datagrams_out[_packet_name(datagram)] += 1

    def datagram_received(self, datagram: bytes) -> None:
        """Count a packet of discovery that has come and was not dropped, by its type. `datagram` must have at least 98
        bytes."""
        self.datagrams_in[_packet_name(datagram)] += 1


def _key(table: CapabilityTable, message_id: int) -> MessageKey | None:
    if message_id < FIRST_OFFSET:
        return "Wire", BASE_NAMES.get(message_id, UNKNOWN_NAME), message_id
    route = table.resolve_message_id(message_id)
    if route is None:
        return None
    names = CONSENSUS_MESSAGES.get(route.protocol, eth_messages.MESSAGE_NAMES)
    return f"{route.protocol}/{route.version}", names.get(route.code, UNKNOWN_NAME), route.code


def _packet_name(datagram: bytes) -> str:
    return DISCOVERY_NAMES.get(datagram[_DISCOVERY_TYPE_AT], UNKNOWN_NAME)
