"""The base protocol of devp2p: Hello, Disconnect, Ping and Pong, message ids 0 to 3.

Follows devp2p rlpx.md and Besu's `PeerInfo` and `DisconnectMessage`. The decoders accept the forms that Besu accepts and the
shorter forms of other clients. Must not decide whether a node with such a Hello may connect.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from lacnode.p2p.wire.capabilities import Capability
from lacnode.p2p.wire.enode import MAX_PORT, NODE_ID_BYTES
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem

P2P_VERSION = 5
"""The version this node announces. From 5 on, messages are compressed."""

# The base protocol has the ids below 0x10. Sub-protocols begin above them (see `capabilities`).
HELLO, DISCONNECT, PING, PONG = 0, 1, 2, 3
"""The message ids."""

EMPTY_LIST = b"\xc0"
"""The body of Ping and Pong. The body of a received one is not read."""

MAX_HELLO_BYTES = 2 * 1024
"""Largest body of a Hello in bytes, as in geth (`baseProtocolMaxMsgSize`). Real ones have about 150 bytes."""

MAX_CAPABILITIES = 64
"""Largest number of capabilities in a Hello. Clients have fewer than ten."""

MAX_DISCONNECT_BYTES = 1024
"""Length of a Disconnect. A correct one has three bytes at most."""

MAX_CLIENT_ID_BYTES = 256
"""The number of bytes that this node keeps of a client's name."""


class DisconnectReason(IntEnum):
    """Why a connection is closed. The values are those on the wire, except UNKNOWN, which is written as an empty string."""

    REQUESTED = 0x00
    TCP_SUBSYSTEM_ERROR = 0x01
    BREACH_OF_PROTOCOL = 0x02
    USELESS_PEER = 0x03
    TOO_MANY_PEERS = 0x04
    ALREADY_CONNECTED = 0x05
    INCOMPATIBLE_P2P_VERSION = 0x06
    NULL_NODE_IDENTITY = 0x07
    CLIENT_QUITTING = 0x08
    UNEXPECTED_IDENTITY = 0x09
    LOCAL_IDENTITY = 0x0A
    TIMEOUT = 0x0B
    SUBPROTOCOL_REASON = 0x10
    UNKNOWN = 0x100

    @classmethod
    def from_code(cls, data: bytes) -> "DisconnectReason":
        """Return the reason in the bytes of a Disconnect. UNKNOWN for no byte, several bytes, or an undefined number."""
        # UNKNOWN has the value 0x100, which no byte can have.
        known = len(data) == 1 and data[0] in cls._value2member_map_
        return cls(data[0]) if known else cls.UNKNOWN

    def __str__(self) -> str:
        return self.name.replace("_", " ").lower()


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of each side: its identity, its capabilities, and its TCP port (0 if it does not listen).

    `node_id` (64 bytes) is only a claim. The caller must compare it with the key that the handshake proved.
    """

    MESSAGE_ID: ClassVar[int] = HELLO

    p2p_version: int
    client_id: str
    capabilities: tuple[Capability, ...]
    listen_port: int
    node_id: bytes

    @property
    def compresses(self) -> bool:
        """Whether the sender compresses all messages after the Hellos."""
        return self.p2p_version >= P2P_VERSION

    def encode(self) -> bytes:
        """Return the body. It is never compressed."""
        return rlp.encode(
            [
                rlp.encode_scalar(self.p2p_version),
                self.client_id.encode(),
                [[capability.name.encode(), rlp.encode_scalar(capability.version)] for capability in self.capabilities],
                rlp.encode_scalar(self.listen_port),
                self.node_id,
            ]
        )

    @classmethod
    def decode(cls, body: bytes) -> "Hello":
        """Read the Hello in the uncompressed `body`. Items after the fifth are ignored (EIP-8). RlpError if it is
        malformed.
        """
        if len(body) > MAX_HELLO_BYTES:
            raise RlpError(f"hello: at most {MAX_HELLO_BYTES} bytes were expected, found {len(body)}")
        fields = RlpFields(rlp.decode_list(body, "hello"), "hello")
        hello = cls(
            p2p_version=fields.scalar("p2pVersion", 4),
            # Cut before it is decoded. The name goes into log lines and into the answers of `admin_peers`.
            client_id=_text(fields.bytes("clientId")[:MAX_CLIENT_ID_BYTES]),
            capabilities=_capabilities(fields.list("capabilities")),
            listen_port=fields.scalar("listenPort", 4),
            node_id=fields.bytes("nodeId", NODE_ID_BYTES),
        )
        if hello.listen_port > MAX_PORT:
            raise RlpError(f"hello.listenPort: a port from 0 to {MAX_PORT} was expected, found {hello.listen_port}")
        return hello


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The last message of a connection: why the sender ends it."""

    MESSAGE_ID: ClassVar[int] = DISCONNECT

    reason: DisconnectReason

    def encode(self) -> bytes:
        """Return the body as Besu writes it: a list with one byte, or with an empty string for an unknown reason."""
        known = self.reason is not DisconnectReason.UNKNOWN
        return rlp.encode([bytes([self.reason]) if known else b""])

    @classmethod
    def decode(cls, body: bytes) -> "Disconnect":
        """Read the Disconnect in `body`: `[reason]`, a bare reason, an empty list, or no bytes. RlpError for other bytes."""
        # A node that leaves may not care about the form. The reason only explains the end of the session, so all forms
        # are read.
        # Before the decoding: any stranger may send it in place of its Hello.
        if len(body) > MAX_DISCONNECT_BYTES:
            raise RlpError(f"disconnect: at most {MAX_DISCONNECT_BYTES} bytes were expected, found {len(body)}")
        item = rlp.decode(body) if body else b""
        if isinstance(item, list):
            item = item[0] if item else b""
        return cls(DisconnectReason.from_code(rlp.as_bytes(item, "disconnect.reason")))


def _capabilities(items: Sequence[RlpItem]) -> tuple[Capability, ...]:
    if len(items) > MAX_CAPABILITIES:
        raise RlpError(f"hello.capabilities: at most {MAX_CAPABILITIES} were expected, found {len(items)}")
    return tuple(_capability(item) for item in items)


def _capability(item: RlpItem) -> Capability:
    fields = RlpFields(rlp.as_list(item, "capability"), "capability")
    return Capability(_text(fields.bytes("name")), fields.scalar("version", 4))


def _text(data: bytes) -> str:
    """Return the text of a peer. Bytes that are not UTF-8 and characters that cannot be printed are replaced: a peer must
    not write control characters into the log of this node."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in data.decode(errors="replace")
    )
