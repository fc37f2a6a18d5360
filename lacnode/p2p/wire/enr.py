"""Node records: signed statements of a node about its address and its chain (devp2p enr.md, identity scheme `v4`).

Keeps no history. The caller must give each new record of this node a higher `seq`.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from lacnode.chainspec.forks import ForkId
from lacnode.crypto.node_identity import NodeIdentity
from lacnode.crypto.secp256k1 import SignatureError, recover_public_key
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, RlpFields, RlpItem, RlpValue

MAX_RECORD_BYTES = 300
"""The largest number of bytes of an encoded record (devp2p enr.md)."""

_PREFIX = "enr:"


class RecordError(ValueError):
    """The bytes or the text are no node record, or its signature is wrong. Also for a record of more than
    `MAX_RECORD_BYTES` bytes, read or to be signed."""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A record with a valid signature. `node_id` is the 64-byte key that signed it. `pairs` are sorted by key. Their values
    are decoded RLP items. `signature` has 64 bytes, without the recovery bit."""

    node_id: bytes
    seq: int
    pairs: tuple[tuple[bytes, RlpItem], ...]
    signature: bytes

    @classmethod
    def sign(cls, key: NodeIdentity, seq: int, pairs: Mapping[bytes, RlpItem]) -> "NodeRecord":
        """Sign a record of the node with `key`. `id` and `secp256k1` are added to `pairs`. RecordError if the record has
        more than `MAX_RECORD_BYTES` bytes."""
        # The two last keys overwrite those of the caller: a record must name the key that signs it.
        complete = {**pairs, b"id": b"v4", b"secp256k1": _compressed(key.public_key)}
        ordered = tuple(sorted(complete.items(), key=lambda pair: pair[0]))
        # A record has no recovery bit: readers compare the recovered keys with the key in it.
        signature = key.sign(keccak256(rlp.encode(_content(seq, ordered))))[:64]
        record = cls(key.public_key, seq, ordered, signature)
        if len(record.encode()) > MAX_RECORD_BYTES:
            raise RecordError(
                f"a node record of at most {MAX_RECORD_BYTES} bytes was expected, found {len(record.encode())}"
            )
        return record

    @classmethod
    def decode(cls, data: bytes) -> "NodeRecord":
        """Read the RLP of a record. RecordError if it is malformed, too large or wrongly signed."""
        if len(data) > MAX_RECORD_BYTES:
            raise RecordError(f"a node record of at most {MAX_RECORD_BYTES} bytes was expected, found {len(data)}")
        try:
            fields = RlpFields(rlp.decode_list(data, "record"), "record")
            signature, seq = fields.bytes("signature", 64), fields.scalar("seq", 8)
            pairs = _pairs(fields)
        except RlpError as error:
            raise RecordError(str(error)) from None
        return cls(_signer(signature, seq, pairs), seq, pairs, signature)

    @classmethod
    def parse(cls, text: str) -> "NodeRecord":
        """Read the `enr:` text of a record. RecordError if it is malformed, too large or wrongly signed."""
        # Base64 makes four characters of three bytes: text of this length is too long for any record and is not
        # decoded.
        if not text.startswith(_PREFIX) or len(text) > 2 * MAX_RECORD_BYTES:
            raise RecordError("a node record starting with 'enr:' was expected")
        encoded = text.removeprefix(_PREFIX)
        try:
            data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise RecordError("the node record is not URL-safe base64") from None
        return cls.decode(data)

    def __str__(self) -> str:
        """The `enr:` text."""
        return _PREFIX + base64.urlsafe_b64encode(self.encode()).rstrip(b"=").decode()

    def encode(self) -> bytes:
        """The signed record in RLP."""
        return rlp.encode(self.to_item())

    def to_item(self) -> list[RlpValue]:
        """The RLP item of the record, as an ENRResponse holds it: signature, number, then keys and values."""
        return [self.signature, *_content(self.seq, self.pairs)]

    def get(self, key: bytes) -> "RlpItem | None":
        """The RLP item of `key` (such as `b"ip"`), None if the record has none."""
        return dict(self.pairs).get(key)


def local_record_pairs(ip: str, tcp: int, udp: int, fork_id: ForkId) -> dict[bytes, RlpItem]:
    """Return the pairs of this node's record, with the keys that Besu writes: address, ports, and the fork id under
    `eth` (EIP-2124). They are RLP items by key. ValueError if `ip` is no IP literal.
    """
    address = ip_address(ip)
    suffix = b"6" if address.version == 6 else b""
    return {
        b"ip" + suffix: address.packed,
        b"tcp" + suffix: rlp.encode_scalar(tcp),
        b"udp" + suffix: rlp.encode_scalar(udp),
        b"eth": [[fork_id.hash, rlp.encode_scalar(fork_id.next)]],
    }


def _pairs(fields: RlpFields) -> tuple[tuple[bytes, RlpItem], ...]:
    pairs: list[tuple[bytes, RlpItem]] = []
    while fields.remaining:
        key = fields.bytes("key")
        # Strict order also excludes repeated keys, so that every reader finds the same value for a key.
        if pairs and key <= pairs[-1][0]:
            raise RlpError("record: keys in strictly ascending order were expected")
        pairs.append((key, fields.item("value")))
    return tuple(pairs)


def _signer(signature: bytes, seq: int, pairs: tuple[tuple[bytes, RlpItem], ...]) -> bytes:
    """Return the node id of the key in the record. RecordError if that key did not make the signature.

    The record holds the key without its Y coordinate, and the signature without its recovery bit. Both keys that the
    signature allows are therefore compared with the key in the record.
    """
    values = dict(pairs)
    if values.get(b"id") != b"v4":
        raise RecordError("a node record of identity scheme 'v4' was expected")
    digest = keccak256(rlp.encode(_content(seq, pairs)))
    for parity in (b"\0", b"\1"):
        try:
            node_id = recover_public_key(digest, signature + parity)
        except SignatureError:
            continue
        if _compressed(node_id) == values.get(b"secp256k1"):
            return node_id
    raise RecordError("the node record is not signed by its key")


def _content(seq: int, pairs: tuple[tuple[bytes, RlpItem], ...]) -> list[RlpValue]:
    return [rlp.encode_scalar(seq), *(item for pair in pairs for item in pair)]


def _compressed(node_id: bytes) -> bytes:
    return bytes([2 + (node_id[63] & 1)]) + node_id[:32]
