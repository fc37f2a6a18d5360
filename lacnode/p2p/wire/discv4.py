"""The packets of node discovery v4: `hash 32 || signature 65 || type 1 || data`, one UDP datagram each.

Follows devp2p discv4.md and Besu's packet readers. The signature proves the sender of a packet. Nothing proves its source
address. `discovery` decides which packets are answered. Items and bytes behind the known ones are ignored (EIP-8), and
never sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import ClassVar, TypeAlias

from lacnode.crypto.node_identity import NodeIdentity
from lacnode.crypto.secp256k1 import SignatureError, recover_public_key
from lacnode.p2p.wire.eip8 import decode_first_list
from lacnode.p2p.wire.enode import MAX_PORT, NODE_ID_BYTES, Enode
from lacnode.p2p.wire.enr import NodeRecord, RecordError
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue

PING_VERSION = 5
"""The version that Besu writes into a Ping. No client reads it."""

MAX_RECEIVED_PACKET_BYTES = 1_600
"""Largest datagram read, as in Besu."""

MAX_SENT_PACKET_BYTES = 1_280
"""Largest datagram sent, as the specification asks."""

_HASH_END, _SIGNATURE_END, _DATA_START = 32, 97, 98


class DiscoveryError(ValueError):
    """A datagram that is no discovery packet. The caller drops it without an answer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a node: an IP literal (empty if a peer left it out) and its ports. `tcp` is 0 if it is not given."""

    ip: str
    udp: int
    tcp: int

    def to_items(self) -> list[RlpValue]:
        """The RLP items of the endpoint, in the order of discv4. ValueError if `ip` is no IP literal."""
        return [
            ip_address(self.ip).packed if self.ip else b"",
            rlp.encode_scalar(self.udp),
            rlp.encode_scalar(self.tcp),
        ]

    @classmethod
    def from_items(cls, items: list[RlpItem], what: str) -> "Endpoint":
        """Read the endpoint `[ip, udp, tcp]`, or `[ip, udp]`, which Besu accepts too. RlpError if it is malformed. Its
        text calls the endpoint `what`.
        """
        fields = RlpFields(items, what)
        packed, udp = fields.bytes("ip"), fields.scalar("udp", 2)
        if len(packed) not in (0, 4, 16):
            raise RlpError(f"{what}.ip: 4 or 16 bytes were expected, found {len(packed)}")
        tcp = fields.scalar("tcp", 2) if fields.remaining else 0
        return cls(str(ip_address(packed)) if packed else "", udp, tcp)


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a Pong. `sender` is the endpoint that the sender claims for itself, None if left out. `expiration` is in
    Unix seconds. `record_seq` is the number of the sender's node record (EIP-868), None if left out.
    """

    TYPE: ClassVar[int] = 1

    sender: Endpoint | None
    recipient: Endpoint
    expiration: int
    record_seq: int | None = None

    def to_items(self) -> list[RlpValue]:
        """The RLP items of the packet, in the order of discv4."""
        sender = [] if self.sender is None else [self.sender.to_items()]
        return [
            rlp.encode_scalar(PING_VERSION),
            *sender,
            self.recipient.to_items(),
            rlp.encode_scalar(self.expiration),
            *_seq_fields(self.record_seq),
        ]

    @classmethod
    def from_items(cls, items: list[RlpItem]) -> "Ping":
        """Decode the RLP items of a packet. Raises RlpError if they are malformed."""
        fields = RlpFields(items, "ping")
        # Any version is accepted, as EIP-8 asks.
        fields.item("version")
        endpoints = [Endpoint.from_items(fields.list("endpoint"), "ping.endpoint")]
        # The sender's endpoint may be left out. A list in the third place shows that both endpoints are there.
        following = fields.item("to or expiration")
        if isinstance(following, list):
            endpoints.append(Endpoint.from_items(following, "ping.to"))
            following = fields.item("expiration")
        # The recipient's endpoint needs a port. The sender's endpoint may lack it.
        if endpoints[-1].udp == 0:
            raise RlpError("ping.to: a UDP port from 1 on was expected")
        return cls(
            sender=endpoints[0] if len(endpoints) == 2 else None,
            recipient=endpoints[-1],
            expiration=rlp.as_scalar(following, "ping.expiration", 8),
            record_seq=_seq(fields),
        )


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a Ping. `ping_hash` is the hash (32 bytes) of that Ping's packet. `expiration` is in Unix seconds.
    `record_seq` is the number of the sender's node record (EIP-868), None if left out.
    """

    TYPE: ClassVar[int] = 2

    recipient: Endpoint
    ping_hash: bytes
    expiration: int
    record_seq: int | None = None

    def to_items(self) -> list[RlpValue]:
        """The RLP items of the packet, in the order of discv4."""
        return [
            self.recipient.to_items(),
            self.ping_hash,
            rlp.encode_scalar(self.expiration),
            *_seq_fields(self.record_seq),
        ]

    @classmethod
    def from_items(cls, items: list[RlpItem]) -> "Pong":
        """Decode the RLP items of a packet. Raises RlpError if they are malformed."""
        fields = RlpFields(items, "pong")
        return cls(
            recipient=Endpoint.from_items(fields.list("to"), "pong.to"),
            ping_hash=fields.bytes("pingHash", 32),
            expiration=fields.scalar("expiration", 8),
            record_seq=_seq(fields),
        )


@dataclass(frozen=True, slots=True)
class FindNode:
    """Asks for the nodes nearest to the 64-byte id `target`. `expiration` is in Unix seconds."""

    TYPE: ClassVar[int] = 3

    target: bytes
    expiration: int

    def to_items(self) -> list[RlpValue]:
        """The RLP items of the packet, in the order of discv4."""
        return [self.target, rlp.encode_scalar(self.expiration)]

    @classmethod
    def from_items(cls, items: list[RlpItem]) -> "FindNode":
        """Decode the RLP items of a packet. Raises RlpError if they are malformed."""
        fields = RlpFields(items, "findNode")
        return cls(fields.bytes("target", NODE_ID_BYTES), fields.scalar("expiration", 8))


@dataclass(frozen=True, slots=True)
class Neighbors:
    """Answers FindNode. Entries without an address or a UDP port are left out when read. TCP port 0 stands for the
    number of the UDP port. `expiration` is in Unix seconds.
    """

    TYPE: ClassVar[int] = 4

    nodes: tuple[Enode, ...]
    expiration: int

    def to_items(self) -> list[RlpValue]:
        """The RLP items of the packet, in the order of discv4."""
        # A node without a known UDP port usually has it under the number of the TCP port.
        entries = [[*Endpoint(node.host, node.udp or node.tcp, node.tcp).to_items(), node.id] for node in self.nodes]
        return [entries, rlp.encode_scalar(self.expiration)]

    @classmethod
    def from_items(cls, items: list[RlpItem]) -> "Neighbors":
        """Decode the RLP items of a packet. Raises RlpError if they are malformed."""
        fields = RlpFields(items, "neighbors")
        nodes = [_neighbor(rlp.as_list(entry, "neighbor")) for entry in fields.list("nodes")]
        return cls(tuple(node for node in nodes if node is not None), fields.scalar("expiration", 8))


@dataclass(frozen=True, slots=True)
class EnrRequest:
    """Asks for the recipient's node record (EIP-868). `expiration` is in Unix seconds."""

    TYPE: ClassVar[int] = 5

    expiration: int

    def to_items(self) -> list[RlpValue]:
        """The RLP items of the packet, in the order of EIP-868."""
        return [rlp.encode_scalar(self.expiration)]

    @classmethod
    def from_items(cls, items: list[RlpItem]) -> "EnrRequest":
        """Decode the RLP items of a packet. Raises RlpError if they are malformed."""
        return cls(RlpFields(items, "enrRequest").scalar("expiration", 8))


@dataclass(frozen=True, slots=True)
class EnrResponse:
    """Answers EnrRequest. `request_hash` is the hash (32 bytes) of that request's packet."""

    TYPE: ClassVar[int] = 6

    request_hash: bytes
    record: NodeRecord

    def to_items(self) -> list[RlpValue]:
        """The RLP items of the packet, in the order of EIP-868."""
        return [self.request_hash, self.record.to_item()]

    @classmethod
    def from_items(cls, items: list[RlpItem]) -> "EnrResponse":
        """Decode the RLP items of a packet. Raises RlpError if they are malformed, RecordError if the record is, or is
        wrongly signed.
        """
        fields = RlpFields(items, "enrResponse")
        # The record has a signature over its own encoding, so its list is encoded again and read as a record.
        return cls(fields.bytes("requestHash", 32), NodeRecord.decode(rlp.encode(fields.list("record"))))


Message: TypeAlias = Ping | Pong | FindNode | Neighbors | EnrRequest | EnrResponse

_DECODERS: dict[int, Callable[[list[RlpItem]], Message]] = {
    Ping.TYPE: Ping.from_items,
    Pong.TYPE: Pong.from_items,
    FindNode.TYPE: FindNode.from_items,
    Neighbors.TYPE: Neighbors.from_items,
    EnrRequest.TYPE: EnrRequest.from_items,
    EnrResponse.TYPE: EnrResponse.from_items,
}


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet whose hash and signature are valid: its hash (32 bytes), the 64-byte id that signed it, and the message."""

    hash: bytes
    node_id: bytes
    message: Message


def encode_packet(message: Message, key: NodeIdentity) -> bytes:
    """Return the signed datagram of `message`. Its first 32 bytes are the packet's hash."""
    content = bytes([message.TYPE]) + rlp.encode(message.to_items())
    # The signature covers type and data. The hash covers the signature too, and finds damaged packets without a
    # recovery.
    signed = key.sign(keccak256(content)) + content
    return keccak256(signed) + signed


def decode_packet(data: bytes) -> Packet:
    """Return the packet in a datagram, with its hash and the id of the node that signed it. Its expiration is not looked
    at. DiscoveryError if the length, the hash, the type, the signature or the content is wrong."""
    if not _DATA_START < len(data) <= MAX_RECEIVED_PACKET_BYTES:
        raise DiscoveryError(
            f"a packet of {_DATA_START + 1} to {MAX_RECEIVED_PACKET_BYTES} bytes was expected, found {len(data)}"
        )
    # The cheap checks come first. The recovery of the signature costs much more than a hash.
    if keccak256(data[_HASH_END:]) != data[:_HASH_END]:
        raise DiscoveryError("packet hash does not match")
    decoder = _DECODERS.get(data[_SIGNATURE_END])
    if decoder is None:
        raise DiscoveryError(f"unknown packet type {data[_SIGNATURE_END]}")
    try:
        node_id = recover_public_key(keccak256(data[_SIGNATURE_END:]), data[_HASH_END:_SIGNATURE_END])
        message = decoder(decode_first_list(data[_DATA_START:], "packet"))
    except (RlpError, SignatureError, RecordError) as error:
        raise DiscoveryError(str(error)) from None
    return Packet(data[:_HASH_END], node_id, message)


def _neighbor(items: list[RlpItem]) -> Enode | None:
    endpoint = Endpoint.from_items(items[:3], "neighbor")
    node_id = rlp.as_bytes(items[3] if len(items) > 3 else b"", "neighbor.id", NODE_ID_BYTES)
    # One bad entry does not spoil the others: the node that answers has them from its own table.
    if not endpoint.ip or not 0 < endpoint.udp <= MAX_PORT:
        return None
    return Enode(node_id, endpoint.ip, endpoint.tcp or endpoint.udp, endpoint.udp)


def _seq_fields(seq: int | None) -> list[RlpValue]:
    return [] if seq is None else [rlp.encode_scalar(seq)]


def _seq(fields: RlpFields) -> int | None:
    """Return the record's number. It may have leading zeros, as some clients write it. None if it is missing, or if another
    extension has its place."""
    item = fields.item("enrSeq") if fields.remaining else b""
    return int.from_bytes(item) if isinstance(item, bytes) and 0 < len(item) <= 8 else None
